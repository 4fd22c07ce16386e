"""Figure of PSNR Y against latency of every file, with the Pareto front; the page has an interactive plot instead."""

from typing import TYPE_CHECKING

import pandas as pd

from pipeline_src.reporting.drawing import Theme, dot, legend, plain_log_ticks, variant_dots
from pipeline_src.reporting.tables import RUNTIMES, exported
from pipeline_src.reporting.timing import settled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.text import Annotation

CROWD = 3  # with more systems than this in a panel, only the fastest file of each net is drawn
LATENCY = "p50 latency per output megapixel (ms)"
MARKERS = {"tflite": "o", "openvino": "D", "openvino_fp16": "d", "onnx": "s", "torch": "^"}


def pareto_front(points: pd.DataFrame) -> pd.DataFrame:
    """Return the Pareto-optimal rows, fastest first.

    A row is Pareto-optimal if no other one is at least as fast and better, or at least as good and faster.

    Args:
        points: rows with ``ms_per_mp`` (lower is better) and ``psnr_y`` (higher is better).
    """
    ordered = points.sort_values(["ms_per_mp", "psnr_y"], ascending=[True, False])
    best = ordered["psnr_y"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["psnr_y"] > best]


def draw_panel(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> "list[Annotation]":
    """Draw one scale and set: a point per file, the Pareto front, and bicubic as a line.

    Returns:
        The labels of the systems, which :func:`place_labels` moves once the panels have their final size.
    """
    points = _timed(rows)
    _draw_bicubic(axes, rows.loc[rows["variant"] == "bicubic", "psnr_y"].iloc[0], points, theme)
    front = pareto_front(settled(points))
    axes.step(front["ms_per_mp"], front["psnr_y"], where="post", color=theme.ink, linewidth=1.2, alpha=0.55, zorder=2)
    fastest, others = _drawn(points)
    for files, size, edge, zorder in ((fastest, 8.5, 1.0, 4), (others, 5.5, 0.5, 3)):
        for _, row in files.iterrows():
            colour = theme.variants.get(str(row["variant"]), theme.ink)
            fill, rim, width = (colour, theme.paper, edge) if row["settled"] else (theme.paper, colour, 1.4)
            if not row["settled"]:
                _draw_interval(axes, row, colour)
            axes.plot(
                row["ms_per_mp"], row["psnr_y"], MARKERS.get(str(row["runtime"]), "v"), markersize=size, color=fill,
                markeredgecolor=rim, markeredgewidth=width, zorder=zorder,
            )  # fmt: skip
    labels = _draw_systems(axes, fastest, theme)
    if not points.empty:
        low, high = points["ms_per_mp"].min(), points["ms_per_mp"].max()
        ratio = max(high / low, 2)
        axes.set_xscale("log")
        axes.set_xlim(low / ratio**0.12, high * ratio**0.12)
        plain_log_ticks(axes, ratio)
    axes.margins(y=0.15)
    return labels


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    return exported(rows[rows["p50_ms"].notna()])


def _draw_interval(axes: "Axes", row: "pd.Series[float]", colour: str) -> None:
    """Draw the confidence interval of a latency; nothing where too few calls give none."""
    ends = [row["ms_per_mp"] * row[end] / row["p50_ms"] for end in ("p50_low_ms", "p50_high_ms")]
    axes.plot(ends, [row["psnr_y"]] * 2, color=colour, linewidth=1.2, alpha=0.7, zorder=2)


def _draw_bicubic(axes: "Axes", bicubic: float, points: pd.DataFrame, theme: Theme) -> None:
    """Draw bicubic as a dashed line, or only write it where the line would squeeze the points into a thin strip."""
    if points.empty or bicubic > points["psnr_y"].min() - (points["psnr_y"].max() - points["psnr_y"].min() or 1):
        axes.axhline(bicubic, color=theme.variants["bicubic"], linestyle=(0, (5, 3)), linewidth=1.4)
        text, height, unit = f"bicubic {bicubic:.2f} dB", bicubic, "data"
    else:
        text, height, unit = f"bicubic {bicubic:.2f} dB, far below", 0, "axes fraction"
    axes.annotate(
        text, (1, height), xycoords=("axes fraction", unit), xytext=(0, 4), textcoords="offset points", ha="right",
        color=theme.variants["bicubic"], fontsize=9,
    )  # fmt: skip


def _draw_systems(axes: "Axes", fastest: pd.DataFrame, theme: Theme) -> "list[Annotation]":
    """Join the points of each system by a dotted line and label the first of them."""
    from matplotlib.patheffects import withStroke

    labels = []
    for system, rows in fastest.groupby("system", sort=False):
        axes.plot(rows["ms_per_mp"], rows["psnr_y"], color=theme.ink, linewidth=1, linestyle=":", alpha=0.6, zorder=1)
        point = float(rows["ms_per_mp"].iloc[0]), float(rows["psnr_y"].iloc[0])
        label = axes.annotate(str(system), point, (6, 5), textcoords="offset points", fontsize=8.5, zorder=5)
        label.set_path_effects([withStroke(linewidth=2.5, foreground=theme.paper)])
        label.set_in_layout(False)  # labels are placed after the layout is known
        labels.append(label)
    return labels


def _drawn(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the fastest file of each net, and the other files if ``points`` are of few systems.

    A file whose latency has settled comes before all that have not.
    """
    ordered = points.sort_values(["settled", "ms_per_mp"], ascending=[False, True])
    fastest = points.loc[sorted(ordered.drop_duplicates(["system", "variant", "scale"]).index)]
    others = points.drop(fastest.index)
    return fastest, others if fastest["system"].nunique() <= CROWD else others.iloc[:0]


def draw_legend(figure: "FigureBase", table: pd.DataFrame, theme: Theme) -> None:
    """Explain the colours (variants), the shapes (runtimes) and the line (Pareto front)."""
    points = pd.concat([files for _, rows in table.groupby("scale") for files in _drawn(_timed(rows))])
    runtimes = [runtime for runtime in MARKERS if runtime in set(points["runtime"])]
    shapes = [dot(theme.ink, MARKERS[runtime], RUNTIMES[runtime]) for runtime in runtimes]
    front = dot(theme.ink, "", "Pareto front")
    front.set(linestyle="-", alpha=0.55, linewidth=1.2)
    hollow = dot(theme.ink, "o", "not settled")
    hollow.set(markerfacecolor=theme.paper)
    rest = [front] if points["settled"].all() else [front, hollow]
    legend(figure, [*variant_dots(points, theme), *shapes, *rest])
