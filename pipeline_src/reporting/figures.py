"""The pictures of the report: the quality–latency Pareto, the fp32→PTQ→QAT waterfall, and the README's overview.

Every function draws from a table of ``tables.read`` and writes PNGs; none of them needs a display.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline_src.files import whole_file
from pipeline_src.reporting.tables import RUNTIMES, VARIANTS, deployed, exported

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

NAMES = {"hr": "HR", **VARIANTS}
NAMES_APART = 1.4  # ratio of latencies from which on two names do not overlap
MARKERS = {"tflite": "o", "openvino": "D", "onnx": "s", "torch": "^"}


@dataclass(frozen=True)
class Theme:
    """Colours of one appearance of the page; the variants' are Okabe and Ito's, which colour-blind readers can tell."""

    name: str
    paper: str
    ink: str
    faint: str
    variants: dict[str, str]


LIGHT = Theme(
    "light", "#ffffff", "#1c2430", "#c9ced6",
    {"bicubic": "#6b7280", "fp32": "#0072b2", "pruned": "#b0579a", "ptq": "#c25700", "qat": "#00805c"},
)  # fmt: skip
DARK = Theme(
    "dark", "#14181f", "#e6e9ee", "#3b4350",
    {"bicubic": "#9aa3b0", "fp32": "#56b4e9", "pruned": "#df90c6", "ptq": "#f0904a", "qat": "#3cc79b"},
)  # fmt: skip


@contextmanager
def _drawing(theme: Theme, width: float, height: float) -> "Iterator[Figure]":
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


def _save(figure: "Figure", path: Path) -> Path:
    with whole_file(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
    return path


def front(points: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front: the points for which no other is as fast and better, or as good and faster; fastest first."""
    ordered = points.sort_values(["p50_ms", "psnr_y"], ascending=[True, False])
    best = ordered["psnr_y"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["psnr_y"] > best]


def draw_pareto(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> None:
    """PSNR Y against p50 of one scale and set, with the front of the exported files and bicubic as a line."""
    bicubic = rows.loc[rows["variant"] == "bicubic", "psnr_y"].iloc[0]
    points = exported(rows[rows["p50_ms"].notna()])
    axes.axhline(bicubic, color=theme.variants["bicubic"], linestyle=(0, (5, 3)), linewidth=1.4)
    axes.annotate(
        f"bicubic {bicubic:.2f} dB", (1, bicubic), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", color=theme.variants["bicubic"], fontsize=9,
    )  # fmt: skip
    best = front(points)
    axes.step(best["p50_ms"], best["psnr_y"], where="post", color=theme.ink, linewidth=1.2, alpha=0.55, zorder=2)
    for index, row in points.iterrows():
        axes.plot(
            row["p50_ms"], row["psnr_y"], MARKERS.get(str(row["runtime"]), "v"), markersize=8.5,
            color=theme.variants.get(str(row["variant"]), theme.ink), markeredgecolor=theme.paper, markeredgewidth=1,
            zorder=4 if index in best.index else 3,
        )  # fmt: skip
    named = 0.0
    for _, row in best.iterrows():  # nothing lies above and left of a point of the front, so its name has room there
        if row["p50_ms"] < named * NAMES_APART:
            continue  # but not beside a faster point of the front that is nearly as slow
        named = row["p50_ms"]
        axes.annotate(
            f"{row['system']}  {row['p50_ms']:.1f} ms", (row["p50_ms"], row["psnr_y"]), xytext=(-5, 5),
            textcoords="offset points", ha="right", fontsize=8, zorder=5,
        )  # fmt: skip
    if not points.empty:
        fastest, slowest = points["p50_ms"].min(), points["p50_ms"].max()
        width = max(slowest / fastest, 2)
        axes.set_xscale("log")
        axes.set_xlim(fastest / width**0.4, slowest * width**0.1)
        _plain_log_ticks(axes, width)
    axes.margins(y=0.15)


def _plain_log_ticks(axes: "Axes", width: float) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=[1, 2, 5] if width > 6 else [1, 1.5, 2, 3, 4, 5, 6, 8]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _key(figure: "FigureBase", table: pd.DataFrame, theme: Theme) -> None:
    """What colours (variants) and shapes (runtimes) mean."""
    from matplotlib.lines import Line2D

    def dot(colour: str, marker: str, label: str) -> Line2D:
        return Line2D([], [], linestyle="", color=colour, marker=marker, markersize=8, label=label)

    points = exported(table[table["p50_ms"].notna()])
    variants = [variant for variant in VARIANTS if variant in set(points["variant"])]
    runtimes = [runtime for runtime in MARKERS if runtime in set(points["runtime"])]
    colours = [dot(theme.variants[variant], "o", VARIANTS[variant]) for variant in variants]
    shapes = [dot(theme.ink, MARKERS[runtime], RUNTIMES[runtime]) for runtime in runtimes]
    edge = Line2D([], [], color=theme.ink, alpha=0.55, linewidth=1.2, label="Pareto front")
    style: Any = {"loc": "outside lower center", "ncols": 8, "columnspacing": 1.2, "handlelength": 1.4}
    figure.legend(handles=[*colours, *shapes, edge], fontsize=9, **style)


def _latency_label(table: pd.DataFrame) -> str:
    sizes = table[table["p50_ms"].notna()].drop_duplicates(["lr_height", "lr_width"])
    size = "".join(f", LR {row['lr_height']:.0f}×{row['lr_width']:.0f}" for _, row in sizes.iterrows())
    return f"p50 latency (ms{size})"


def pareto(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """PSNR Y against p50, one panel per scale and set, two side by side."""
    shown = list(table.groupby(["scale", "set"], sort=False))
    with _drawing(theme, 7.2 if len(shown) == 1 else 9.6, 0.6 + 3.9 * -(-len(shown) // 2)) as figure:
        for axes, ((scale, name), rows) in zip(_panels(figure, len(shown)), shown, strict=True):
            draw_pareto(axes, rows, theme)
            axes.set_title(f"{name} ×{scale:.0f}")
            axes.set_xlabel(_latency_label(rows))
            axes.set_ylabel("PSNR Y (dB)")
        _key(figure, table, theme)
        return _save(figure, path)


def _panels(figure: "Figure", count: int) -> "list[Axes]":
    """``count`` panels in rows of two, in reading order; more would be too small to read on a page."""
    panels = list(figure.subplots(-(-count // 2), min(2, count), squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return panels[:count]


def draw_waterfall(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> None:
    """What each step adds to or takes from the gain over bicubic: ``rows`` are one system's deployed variants."""
    reached = 0.0
    tallest = max(0.0, rows["gain_db"].max())
    deepest = min(0.0, rows["gain_db"].min())
    for place, (_, row) in enumerate(rows.iterrows()):
        variant, gain = str(row["variant"]), float(row["gain_db"])
        colour = theme.variants.get(variant, theme.ink)
        if place:
            axes.bar(place, gain, width=0.62, color=colour, alpha=0.22)
            axes.plot([place - 0.69, place + 0.31], [reached, reached], color=theme.ink, linewidth=0.9, alpha=0.7)
        axes.bar(place, gain - reached, bottom=reached, width=0.62, color=colour)
        change = f"\n({gain - reached:+.2f})" if place else ""
        text = f"{gain:+.2f} dB{change}".replace("-", "−")
        at = (place, max(gain, reached, 0))
        axes.annotate(text, at, xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9, linespacing=1.25)
        reached = gain
    axes.axhline(0, color=theme.variants["bicubic"], linewidth=1.4)
    axes.set_xticks(range(len(rows)), [VARIANTS.get(str(v), str(v)) for v in rows["variant"]])
    axes.set_xlim(-0.6, len(rows) - 0.4)
    room = tallest - deepest or 1.0
    axes.set_ylim(deepest - 0.06 * room, tallest + 0.3 * room)
    axes.grid(visible=False, axis="x")


def waterfall(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """From fp32 through every smaller variant, in dB over bicubic: one panel per system, scale and set."""
    shown = list(deployed(table).groupby(["system", "scale", "set"], sort=False))
    with _drawing(theme, 7.2 if len(shown) == 1 else 8.4, 3.3 * -(-len(shown) // 2)) as figure:
        for axes, ((system, scale, name), rows) in zip(_panels(figure, len(shown)), shown, strict=True):
            draw_waterfall(axes, rows, theme)
            axes.set_title(f"{system} ×{scale:.0f} on {name}")
            axes.set_ylabel("PSNR Y over bicubic (dB)")
        return _save(figure, path)


def overview(table: pd.DataFrame, crop: Path | None, path: Path) -> Path:
    """The README's picture, of the first system, scale and set: a crop in every variant, the Pareto, the waterfall.

    ``crop`` is a folder with ``hr.png``, ``bicubic.png`` and the variants' images; None leaves the crops out.
    """
    import numpy as np
    from PIL import Image

    files = deployed(table)
    system, scale, name = files.iloc[0][["system", "scale", "set"]]
    here = table[(table["scale"] == scale) & (table["set"] == name)]
    mine = files[(files["system"] == system) & (files["scale"] == scale) & (files["set"] == name)]
    shown = [] if crop is None else [v for v in ("bicubic", "fp32", "qat", "hr") if (crop / f"{v}.png").is_file()]
    with _drawing(LIGHT, 10.4, 7.0 if shown else 4.1) as figure:
        parts = figure.subfigures(2 if shown else 1, 1, squeeze=False, height_ratios=[1, 1.45] if shown else [1])[:, 0]
        for axes, variant in zip(parts[0].subplots(1, len(shown)) if shown else [], shown, strict=True):
            with Image.open(f"{crop}/{variant}.png") as image:
                axes.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")
            axes.set_title(NAMES[variant], loc="center")
            axes.axis("off")
        left, right = parts[-1].subplots(1, 2, width_ratios=[1.5, 1])
        draw_pareto(left, here, LIGHT)
        left.set(title=f"{name} ×{scale:.0f}", xlabel=_latency_label(here), ylabel="PSNR Y (dB)")
        draw_waterfall(right, mine, LIGHT)
        right.set(title=f"{system}, from fp32 to int8", ylabel="PSNR Y over bicubic (dB)")
        _key(parts[-1], here, LIGHT)
        return _save(figure, path)
