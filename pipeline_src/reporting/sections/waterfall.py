"""Section "From fp32 to int8": the cost of each quantisation step in dB, and the layers that are most sensitive."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from pipeline_src import paths
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, legend, save, variant_dots
from pipeline_src.reporting.section import Block, Details, Section, Text, figure_per_set, table
from pipeline_src.reporting.tables import NAMED, VARIANTS, Column, deployed
from pipeline_src.tables import Kind, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 20  # labels; more would lie over each other if they were slanted
DRAWN = 40  # nets; the bars of more could not be told apart
WORST = 3  # layers shown per system and scale
COLUMNS = (NAMED["system"], NAMED["scale"], Column("layer", "Layer"), Column("lost_db", "Lost in int8 (dB)", "{:.3f}"))
SENSITIVITY: dict[str, Kind] = {"scale": int, "layer": str, "lost_db": float}
WIDEST = 90  # letters of tick labels that fit below one panel


def build(data: ReportData) -> Section:
    """Return the section, with the most sensitive layers where they were measured."""
    lead = "What each step from 32-bit floats to 8-bit integers costs in quality."
    intro = (
        "Bars are the gain over bicubic. fp32 is the network as it was trained. PTQ rounds it to 8 bits with a few "
        "photographs as its only guide; QAT trains it on, with the rounding in place."
    )
    drawn = data.table[data.table["system"].isin(["bicubic", *data.nets[:DRAWN]])]
    left_out = f" Drawn are the first {DRAWN} of {len(data.nets)} networks." if len(data.nets) > DRAWN else ""
    blocks: list[Block] = [
        Text(intro + left_out),
        figure_per_set("waterfall", drawn, draw, describe),
    ]
    sensitive = most_sensitive(paths.results("quantize"), data.systems)
    if not sensitive.empty:
        note = Markup(
            "Loss of PSNR Y on validation images when this layer alone runs in int8 and all others in float; below 0 "
            "the layer gains. Shown are the {} most sensitive layers of each system and scale. All layers are in "
            "<code>results/quantize/&lt;system&gt;/sensitivity.csv</code>; "
            "<code>systems.&lt;system&gt;.qat.float_layers</code> keeps layers in float."
        ).format(WORST)
        layers = table("Layers most sensitive to int8", COLUMNS, sensitive, tall=True)
        blocks.append(Details("Layers most sensitive to int8", [Text(note, "note"), layers]))
    return Section("waterfall", "From fp32 to int8", "fp32 to int8", blocks, lead=lead, folded=True)


def most_sensitive(folder: Path, systems: list[str]) -> pd.DataFrame:
    """Return the ``WORST`` layers of every scale in ``<folder>/<system>/sensitivity.csv``, the worst first.

    Empty where ``quantize.sensitivity_images`` is 0, because nothing was measured.

    Raises:
        UserError: if a file is missing or damaged.
    """
    tables = []
    for system in systems:
        rows = read_table(folder / system / "sensitivity.csv", SENSITIVITY, paths.remedy("quantize", system))
        rows = rows.assign(system=system).sort_values(["scale", "lost_db"], ascending=[True, False])
        tables.append(rows.groupby("scale").head(WORST))
    return pd.concat(tables)[[column.name for column in COLUMNS]]


def draw(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Draw the gain over bicubic of fp32 and every int8 variant, a panel per scale; ``table`` is of one set."""
    files = deployed(table)
    scales = list(files.groupby("scale"))
    with drawing(theme, 9.6, 0.4 + 3.1 * len(scales)) as figure:
        panels = figure.subplots(len(scales), squeeze=False)[:, 0]
        for axes, (scale, rows) in zip(panels, scales, strict=True):
            draw_panel(axes, rows, theme)
            axes.set(title=f"×{scale:.0f} on {rows['set'].iloc[0]}", ylabel="PSNR Y over bicubic (dB)")
        legend(figure, variant_dots(files, theme))
        return save(figure, path)


def describe(table: pd.DataFrame) -> str:
    """Return the alt text of the figure; ``table`` is of one set."""
    parts = []
    for (scale, system), rows in deployed(table).groupby(["scale", "system"], sort=False):
        steps = ", ".join(
            f"{VARIANTS.get(row['variant'], row['variant'])} {row['gain_db']:+.2f} dB" for _, row in rows.iterrows()
        )
        parts.append(f"{system} ×{scale:.0f}: {steps}")
    return f"PSNR Y over bicubic of each variant on {table['set'].iloc[0]}. {'. '.join(parts)}."


def draw_panel(axes: "Axes", rows: pd.DataFrame, theme: Theme) -> None:
    """Draw the gain of each variant over bicubic as a bar, and its change from the variant before as the solid part.

    With one system every bar is labelled with its gain and, in brackets, its change; with several systems the first
    bar of each is labelled with its gain, and the others with their change only.

    Args:
        axes: the panel.
        rows: the deployed variants of one scale and set.
        theme: the colours.
    """
    tallest, deepest = max(0.0, rows["gain_db"].max()), min(0.0, rows["gain_db"].min())
    systems = list(rows.groupby("system", sort=False))
    ticks: dict[float, str] = {}
    left = 0.0
    for system, variants in systems:
        previous = 0.0
        for index, (_, row) in enumerate(variants.iterrows()):
            variant, gain, x = str(row["variant"]), float(row["gain_db"]), left + index
            colour = theme.variants.get(variant, theme.ink)
            if index:
                axes.bar(x, gain, width=0.62, color=colour, alpha=0.22)
                axes.plot([x - 0.69, x + 0.31], [previous, previous], color=theme.ink, linewidth=0.9, alpha=0.7)
            axes.bar(x, gain - previous, bottom=previous, width=0.62, color=colour)
            change = f"{gain - previous:+.2f}" if index else ""
            if len(systems) == 1:
                text = f"{gain:+.2f} dB" + f"\n({change})" * bool(index)
                ticks[x] = VARIANTS.get(variant, variant)
            else:
                text = change or f"{gain:+.2f}"
                ticks[left + (len(variants) - 1) / 2] = str(system)
            axes.annotate(
                text.replace("-", "−"), (x, max(gain, previous, 0)), xytext=(0, 5), ha="center",
                textcoords="offset points", fontsize=9 if len(systems) == 1 else 7.5, linespacing=1.25,
                rotation=0 if len(rows) < 20 else 90,
            )  # fmt: skip
            previous = gain
        left += len(variants) + 0.6
    axes.axhline(0, color=theme.variants["bicubic"], linewidth=1.4)
    _label_ticks(axes, ticks)
    axes.set_xlim(-0.6, left - 1)
    height = tallest - deepest or 1.0
    axes.set_ylim(deepest - 0.06 * height, tallest + 0.3 * height)
    axes.grid(visible=False, axis="x")


def _label_ticks(axes: "Axes", ticks: dict[float, str]) -> None:
    """Label the x axis; labels too long to stand side by side are slanted, and upright if they are many."""
    axes.set_xticks(list(ticks), list(ticks.values()))
    if sum(map(len, ticks.values())) > WIDEST:
        rotation, side = (20, "right") if len(ticks) <= MANY else (90, "center")
        for label in axes.get_xticklabels():
            label.set(rotation=rotation, horizontalalignment=side)
