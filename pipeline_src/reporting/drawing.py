"""Looks that all figures of the report share: themes, the drawing context, legends and saving."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline_src.files import whole_file
from pipeline_src.reporting.tables import VARIANTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.lines import Line2D


@dataclass(frozen=True)
class Theme:
    """Colours of the light or the dark page.

    Attributes:
        name: "light" or "dark".
        paper: background.
        ink: text and lines.
        faint: axes and grid.
        variants: colour of each variant, from the palette of Okabe and Ito, which colour-blind readers can tell apart.
        series: colours of lines that are not variants.
    """

    name: str
    paper: str
    ink: str
    faint: str
    variants: dict[str, str]
    series: tuple[str, ...]


LIGHT = Theme(
    "light", "#ffffff", "#1c2430", "#c9ced6",
    {"bicubic": "#6b7280", "fp32": "#0072b2", "ptq": "#c25700", "qat": "#00805c"},
    ("#0072b2", "#c25700", "#00805c", "#b0579a", "#7a6a00"),
)  # fmt: skip
DARK = Theme(
    "dark", "#14181f", "#e6e9ee", "#3b4350",
    {"bicubic": "#9aa3b0", "fp32": "#56b4e9", "ptq": "#f0904a", "qat": "#3cc79b"},
    ("#56b4e9", "#f0904a", "#3cc79b", "#df90c6", "#d6c83a"),
)  # fmt: skip


@contextmanager
def drawing(theme: Theme, width: float, height: float) -> "Iterator[Figure]":
    """Yield a figure of ``width`` by ``height`` inches in the style of ``theme``, which applies inside the block."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.color": theme.faint, "grid.alpha": 0.5, "grid.linewidth": 0.6, "axes.edgecolor": theme.faint,
        "axes.facecolor": theme.paper, "figure.facecolor": theme.paper, "text.color": theme.ink,
        "axes.labelcolor": theme.ink, "axes.titlecolor": theme.ink, "xtick.color": theme.ink,
        "ytick.color": theme.ink, "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0,
        "legend.frameon": False, "savefig.facecolor": theme.paper,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), dpi=130)
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.06)
        yield figure


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG or SVG, as the suffix says, and return its path. The same figure gives the same bytes."""
    import matplotlib

    file_format = path.suffix.removeprefix(".")
    left_out = {"png": "Software", "svg": "Date"}[file_format]
    with whole_file(path) as temporary, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(temporary, format=file_format, metadata={left_out: None})
    return path


def recolour(svg: Path, to: Path, before: Theme, after: Theme) -> None:
    """Write the SVG of a figure in the colours of another theme, which takes a fraction of the time of drawing it."""
    colours = dict(zip(_colours(before), _colours(after), strict=True))
    pattern = re.compile("|".join(colours))
    with whole_file(to) as temporary:
        text = pattern.sub(lambda colour: colours[colour[0]], svg.read_text(encoding="utf-8"))
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _colours(theme: Theme) -> list[str]:
    return [theme.paper, theme.ink, theme.faint, *theme.variants.values(), *theme.series]


def variant_dots(rows: pd.DataFrame, theme: Theme) -> "list[Line2D]":
    """Return a legend entry for the colour of each variant in ``rows``."""
    present = set(rows["variant"])
    return [dot(theme.variants[v], "o", VARIANTS[v]) for v in VARIANTS if v in present and v != "bicubic"]


def dot(colour: str, marker: str, label: str) -> "Line2D":
    """Return a legend entry with a marker and no line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", color=colour, marker=marker, markersize=8, label=label)


def legend(figure: "FigureBase", handles: "list[Line2D]") -> None:
    """Put a legend below the panels of a figure."""
    style: Any = {"loc": "outside lower center", "ncols": 8, "columnspacing": 1.2, "handlelength": 1.4}
    figure.legend(handles=handles, fontsize=9, **style)


def plain_log_ticks(axes: "Axes", ratio: float) -> None:
    """Label a logarithmic axis, whose ends have this ratio, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    subs = [1, 2, 5] if ratio > 6 else [1, 1.5, 2, 3, 4, 5, 6, 8]
    axes.xaxis.set_major_locator(LogLocator(subs=subs if ratio < 2000 else [1]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
