"""The pictures of the report: the quality–latency Pareto, the fp32→PTQ→QAT waterfall, and the README's overview.

Every function draws from a table of ``tables.read`` and writes PNGs; none of them needs a display. A figure is of one
set and has one panel per scale.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline_src.files import whole_file
from pipeline_src.reporting.names import place_names
from pipeline_src.reporting.tables import RUNTIMES, VARIANTS, deployed, exported

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation

NAMES = {"hr": "HR", **VARIANTS}
CROWD = 3  # systems in one panel, from above which on it shows only the fastest file of each net
WIDEST = 90  # letters that fit below one panel
LATENCY = "p50 latency per output megapixel (ms)"
MARKERS = {"tflite": "o", "openvino": "D", "openvino_fp16": "d", "onnx": "s", "torch": "^"}


@dataclass(frozen=True)
class Theme:
    """Colours of one appearance of the page; the variants' are Okabe and Ito's, which colour-blind readers can tell."""

    name: str
    paper: str
    ink: str
    faint: str
    variants: dict[str, str]
    series: tuple[str, ...]  # for what is not a variant


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
    """A figure of ``width`` by ``height`` inches in the looks of the page, which hold for what the block draws."""
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
    """Write a figure as PNG."""
    with whole_file(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
    return path


def front(points: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front: the points for which no other is as fast and better, or as good and faster; fastest first."""
    ordered = points.sort_values(["ms_per_mp", "psnr_y"], ascending=[True, False])
    best = ordered["psnr_y"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["psnr_y"] > best]


def draw_pareto(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> "list[Annotation]":
    """PSNR Y against p50 per output megapixel of one scale and set, with the front and bicubic as a line.

    Large are the points of each net's fastest file, those of one system joined by a line; small, where there is room,
    those of its files for other runtimes. Returns the systems' names, for :func:`place_names`.
    """
    from matplotlib.patheffects import withStroke

    bicubic = rows.loc[rows["variant"] == "bicubic", "psnr_y"].iloc[0]
    points = exported(_timed(rows))
    if points.empty or bicubic > points["psnr_y"].min() - (points["psnr_y"].max() - points["psnr_y"].min() or 1):
        axes.axhline(bicubic, color=theme.variants["bicubic"], linestyle=(0, (5, 3)), linewidth=1.4)
        text, height, of = f"bicubic {bicubic:.2f} dB", bicubic, "data"
    else:  # it would leave the points a thin strip
        text, height, of = f"bicubic {bicubic:.2f} dB, far below", 0, "axes fraction"
    axes.annotate(
        text, (1, height), xycoords=("axes fraction", of), xytext=(0, 4), textcoords="offset points", ha="right",
        color=theme.variants["bicubic"], fontsize=9,
    )  # fmt: skip
    best = front(points)
    axes.step(best["ms_per_mp"], best["psnr_y"], where="post", color=theme.ink, linewidth=1.2, alpha=0.55, zorder=2)
    fastest, others = _shown(points)
    for rows, size, edge, zorder in ((fastest, 8.5, 1.0, 4), (others, 5.5, 0.5, 3)):
        for _, row in rows.iterrows():
            axes.plot(
                row["ms_per_mp"], row["psnr_y"], MARKERS.get(str(row["runtime"]), "v"), markersize=size,
                color=theme.variants.get(str(row["variant"]), theme.ink), markeredgecolor=theme.paper,
                markeredgewidth=edge, zorder=zorder,
            )  # fmt: skip
    names = []
    for system, its in fastest.groupby("system", sort=False):
        axes.plot(its["ms_per_mp"], its["psnr_y"], color=theme.ink, linewidth=1, linestyle=":", alpha=0.6, zorder=1)
        at = float(its["ms_per_mp"].iloc[0]), float(its["psnr_y"].iloc[0])
        name = axes.annotate(str(system), at, (6, 5), textcoords="offset points", fontsize=8.5, zorder=5)
        name.set_path_effects([withStroke(linewidth=2.5, foreground=theme.paper)])
        name.set_in_layout(False)  # it gets its place after the panels have theirs
        names.append(name)
    if not points.empty:
        low, high = points["ms_per_mp"].min(), points["ms_per_mp"].max()
        width = max(high / low, 2)
        axes.set_xscale("log")
        axes.set_xlim(low / width**0.12, high * width**0.12)
        _plain_log_ticks(axes, width)
    axes.margins(y=0.15)
    return names


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["ms_per_mp"].notna()]


def _shown(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The fastest file of each net, and, if few systems are in ``points``, the others."""
    ordered = points.sort_values("ms_per_mp", kind="stable")
    fastest = points.loc[sorted(ordered.drop_duplicates(["system", "variant", "scale"]).index)]
    others = points.drop(fastest.index)
    return fastest, others if fastest["system"].nunique() <= CROWD else others.iloc[:0]


def _plain_log_ticks(axes: "Axes", width: float) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    subs = [1, 2, 5] if width > 6 else [1, 1.5, 2, 3, 4, 5, 6, 8]
    axes.xaxis.set_major_locator(LogLocator(subs=subs if width < 2000 else [1]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _key(figure: "FigureBase", table: pd.DataFrame, theme: Theme) -> None:
    """What colours (variants) and shapes (runtimes) mean."""
    points = pd.concat([part for _, rows in table.groupby("scale") for part in _shown(exported(_timed(rows)))])
    runtimes = [runtime for runtime in MARKERS if runtime in set(points["runtime"])]
    shapes = [_dot(theme.ink, MARKERS[runtime], RUNTIMES[runtime]) for runtime in runtimes]
    edge = _dot(theme.ink, "", "Pareto front")
    edge.set(linestyle="-", alpha=0.55, linewidth=1.2)
    _legend(figure, [*_variant_dots(points, theme), *shapes, edge])


def _variant_dots(rows: pd.DataFrame, theme: Theme) -> "list[Line2D]":
    there = set(rows["variant"])
    return [_dot(theme.variants[v], "o", VARIANTS[v]) for v in VARIANTS if v in there and v != "bicubic"]


def _dot(colour: str, marker: str, label: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", color=colour, marker=marker, markersize=8, label=label)


def _legend(figure: "FigureBase", handles: "list[Line2D]") -> None:
    style: Any = {"loc": "outside lower center", "ncols": 8, "columnspacing": 1.2, "handlelength": 1.4}
    figure.legend(handles=handles, fontsize=9, **style)


def pareto(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """PSNR Y against p50 per output megapixel, one panel per scale; ``table`` is of one set."""
    shown = list(table.groupby("scale"))
    with drawing(theme, 9.6, 0.6 + 3.9 * len(shown)) as figure:
        panels = figure.subplots(len(shown), squeeze=False)[:, 0]
        names = []
        for axes, (scale, rows) in zip(panels, shown, strict=True):
            names.append(draw_pareto(axes, rows, theme))
            axes.set(title=f"×{scale:.0f} on {rows['set'].iloc[0]}", ylabel="PSNR Y (dB)", xlabel=LATENCY)
        _key(figure, table, theme)
        place_names(figure, names)
        return save(figure, path)


def draw_waterfall(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> None:
    """What each step adds to or takes from the gain over bicubic: ``rows`` are the deployed variants of one scale.

    Of one system every bar tells its gain and, in brackets, the change; of several only the first of each its gain,
    the others their change.
    """
    tallest, deepest = max(0.0, rows["gain_db"].max()), min(0.0, rows["gain_db"].min())
    systems = list(rows.groupby("system", sort=False))
    ticks: dict[float, str] = {}
    left = 0.0
    for system, its in systems:
        reached = 0.0
        for place, (_, row) in enumerate(its.iterrows()):
            variant, gain = str(row["variant"]), float(row["gain_db"])
            colour = theme.variants.get(variant, theme.ink)
            if place:
                axes.bar(left + place, gain, width=0.62, color=colour, alpha=0.22)
                line = [left + place - 0.69, left + place + 0.31]
                axes.plot(line, [reached, reached], color=theme.ink, linewidth=0.9, alpha=0.7)
            axes.bar(left + place, gain - reached, bottom=reached, width=0.62, color=colour)
            change = f"{gain - reached:+.2f}" if place else ""
            if len(systems) == 1:
                text = f"{gain:+.2f} dB" + f"\n({change})" * bool(place)
                ticks[left + place] = VARIANTS.get(variant, variant)
            else:
                text = change or f"{gain:+.2f}"
                ticks[left + (len(its) - 1) / 2] = str(system)
            axes.annotate(
                text.replace("-", "−"), (left + place, max(gain, reached, 0)), xytext=(0, 5), ha="center",
                textcoords="offset points", fontsize=9 if len(systems) == 1 else 7.5, linespacing=1.25,
                rotation=0 if len(rows) < 20 else 90,
            )  # fmt: skip
            reached = gain
        left += len(its) + 0.6
    axes.axhline(0, color=theme.variants["bicubic"], linewidth=1.4)
    axes.set_xticks(list(ticks), list(ticks.values()))
    if sum(map(len, ticks.values())) > WIDEST:
        for label in axes.get_xticklabels():
            label.set(rotation=20, horizontalalignment="right")
    axes.set_xlim(-0.6, left - 1)
    room = tallest - deepest or 1.0
    axes.set_ylim(deepest - 0.06 * room, tallest + 0.3 * room)
    axes.grid(visible=False, axis="x")


def waterfall(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """From fp32 through every smaller variant, in dB over bicubic: one panel per scale; ``table`` is of one set."""
    files = deployed(table)
    shown = list(files.groupby("scale"))
    with drawing(theme, 9.6, 0.4 + 3.1 * len(shown)) as figure:
        panels = figure.subplots(len(shown), squeeze=False)[:, 0]
        for axes, (scale, rows) in zip(panels, shown, strict=True):
            draw_waterfall(axes, rows, theme)
            axes.set(title=f"×{scale:.0f} on {rows['set'].iloc[0]}", ylabel="PSNR Y over bicubic (dB)")
        _legend(figure, _variant_dots(files, theme))
        return save(figure, path)


def overview(table: pd.DataFrame, system: str, crop: Path | None, path: Path) -> Path:
    """The README's picture: of ``system`` at its first scale on the first set a crop in some variants and the
    waterfall, and beside it the Pareto of all systems there.

    ``crop`` is a folder with ``hr.png``, ``bicubic.png`` and the variants' images; None leaves the crops out.
    """
    from PIL import Image

    files = deployed(table)
    mine = files[files["system"] == system]
    place = ["scale", "set"]
    mine = mine[(mine[place] == mine[place].iloc[0]).all(axis="columns")]
    scale, name = mine[place].iloc[0]
    here = table[(table["scale"] == scale) & (table["set"] == name)]
    shown = [] if crop is None else [v for v in ("bicubic", "fp32", "qat", "hr") if (crop / f"{v}.png").is_file()]
    with drawing(LIGHT, 10.4, 7.0 if shown else 4.1) as figure:
        parts = figure.subfigures(2 if shown else 1, 1, squeeze=False, height_ratios=[1, 1.45] if shown else [1])[:, 0]
        for axes, variant in zip(parts[0].subplots(1, len(shown)) if shown else [], shown, strict=True):
            with Image.open(f"{crop}/{variant}.png") as image:
                axes.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")
            axes.set_title(NAMES[variant], loc="center")
            axes.axis("off")
        left, right = parts[-1].subplots(1, 2, width_ratios=[1.5, 1])
        names = draw_pareto(left, here, LIGHT)
        left.set(title=f"{name} ×{scale:.0f}", xlabel=LATENCY, ylabel="PSNR Y (dB)")
        draw_waterfall(right, mine, LIGHT)
        right.set(title=f"{system}, from fp32 to int8", ylabel="PSNR Y over bicubic (dB)")
        _key(parts[-1], here, LIGHT)
        place_names(figure, [names])
        return save(figure, path)
