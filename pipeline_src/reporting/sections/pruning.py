"""Section "Pruned nets": every pruned net beside the unpruned one and bicubic."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline_src.config import Prune, Pruning
from pipeline_src.pruners import PRUNERS, removes_weights
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, save
from pipeline_src.reporting.section import Block, Section, Table, Text, figure_per_set, table
from pipeline_src.reporting.tables import NAMED, Column, deployed, rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    Column("system", "Net"),
    Column("how", "Pruned by"),
    Column("sparsity", "Sparsity", "{:.0%}"),
    *(NAMED[name] for name in ("scale", "set", "psnr_y")),
    Column("over_unpruned_db", "Against the whole net (dB)", "{:+.2f}"),
    *(NAMED[name] for name in ("gain_db", "params", "mult_adds", "size_kib", "p50_ms")),
    Column("times_faster", "Times faster", "{:.2f}"),
)

DRAWN = 6  # systems, a panel each


def build(data: ReportData) -> Section | None:
    """Return the section, or None if no system was pruned."""
    rows = compare(data.table, data.params.prune)
    if rows.empty:
        return None
    intro = (
        "The fp32 files of the pruned nets, below the unpruned (“whole”) net of each system. Parameters, Mult-Adds, "
        "file size and latency are those of the pruned file. “L1 norm of importance” prunes the filters whose weights "
        "have the smallest importance, which is what they contribute to images; “L1 norm of weights” compares the "
        "weights themselves, as the publication does. Importance is the default. Pruning single weights only sets "
        "them to zero, so it makes a net neither smaller nor faster."
    )
    systems = list(dict.fromkeys(rows["unpruned"]))
    drawn = rows[rows["unpruned"].isin(systems[:DRAWN])]
    if len(systems) > DRAWN:
        intro += f" Drawn are the first {DRAWN} of {len(systems)} systems."
    lead = "What networks lose and gain when filters are taken out of them."
    blocks: list[Block] = [Text(intro), _table("Pruned nets", rows), figure_per_set("pruning", drawn, draw, describe)]
    return Section("pruning", "Pruned nets", "Pruned", blocks, lead=lead, folded=True)


def text_tables(data: ReportData) -> Iterator[Table]:
    """Yield the table of the section, for Markdown and LaTeX."""
    rows = compare(data.table, data.params.prune)
    if not rows.empty:
        yield _table("Pruned nets, fp32", rows)


def _table(label: str, rows: pd.DataFrame) -> Table:
    return table(label, COLUMNS, rows)


def compare(table: pd.DataFrame, prune: Mapping[str, Prune]) -> pd.DataFrame:
    """Return the fp32 files (:func:`deployed`) of every pruned system, the unpruned net first, per scale and set.

    Args:
        table: every measured row, as :func:`tables.read` returns it.
        prune: the section ``prune`` of params.yaml.

    Returns:
        Rows of ``table`` with ``unpruned`` (the system), ``how``, ``sparsity`` (0 for the unpruned net),
        ``over_unpruned_db`` (PSNR Y over that of the unpruned net) and ``times_faster`` (p50 of the unpruned net over
        that of the pruned one, if both have settled).
    """
    specs = {f"{system}/{name}": spec for system, section in prune.items() for name, spec in section.nets.items()}
    rows = deployed(table)
    rows = rows[(rows["variant"] == "fp32") & rows["system"].isin([*prune, *specs])].copy()
    rows["unpruned"] = rows["system"].str.split("/").str[0]
    rows["sparsity"] = [specs[net].sparsity if net in specs else 0.0 for net in rows["system"]]
    rows["how"] = [_how(specs[net]) if net in specs else "" for net in rows["system"]]
    key = ["unpruned", "scale", "set"]
    rows["settled_ms"] = rows["p50_ms"].where(rows["settled"])
    unpruned = rows.loc[rows["sparsity"] == 0, [*key, "psnr_y", "settled_ms"]]
    reference = rows[key].merge(unpruned, how="left").set_index(rows.index)
    rows["over_unpruned_db"] = (rows["psnr_y"] - reference["psnr_y"]).where(rows["sparsity"] > 0)
    rows["times_faster"] = (reference["settled_ms"] / rows["settled_ms"]).where(rows["sparsity"] > 0)
    order = {"unpruned": list(dict.fromkeys(rows["unpruned"])), "set": list(dict.fromkeys(table["set"]))}
    return rows.sort_values(
        [*key, "sparsity"], key=lambda column: rank(column, order), kind="stable", ignore_index=True
    )


def _how(spec: Pruning) -> str:
    """Return the pruner, what it compares, and every other setting that differs from its default."""
    default = Pruning(pruner=spec.pruner, sparsity=spec.sparsity)
    texts = {"scope": spec.scope, "mode": spec.mode.replace("_", " "), "initialise": f"{spec.initialise} weights"}
    changed = [text for name, text in texts.items() if getattr(spec, name) != getattr(default, name)]
    if (spec.layers, spec.exclude) != (default.layers, default.exclude):
        changed.append("some layers")
    return ", ".join(
        [f"{PRUNERS[spec.pruner].label} {'by' if removes_weights(spec.pruner) else 'of'} {spec.criterion}", *changed]
    )


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Draw PSNR Y against sparsity, a panel per system and scale, a line per way to prune; ``rows`` are of one set."""
    panels = list(rows.groupby(["unpruned", "scale"], sort=False))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    ways = [how for how in dict.fromkeys(rows["how"]) if how]
    colours = {how: theme.series[index % len(theme.series)] for index, how in enumerate(ways)}
    with drawing(theme, 9.6, 0.8 + 3.0 * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, ((system, scale), nets) in zip(grid, panels, strict=False):
            _draw_panel(axes, nets, colours, theme)
            axes.set(title=f"{system} ×{scale:.0f}", xlabel="sparsity (%)", ylabel="PSNR Y (dB)", xlim=(-3, 100))
        for axes in grid[len(panels) :]:
            axes.remove()
        handles = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)))
        return save(figure, path)


def _draw_panel(axes: "Axes", nets: pd.DataFrame, colours: Mapping[str, str], theme: Theme) -> None:
    """Draw the nets of one system and scale, with horizontal lines at the unpruned net and at bicubic."""
    unpruned = nets[nets["sparsity"] == 0].iloc[0]
    bicubic = unpruned["psnr_y"] - unpruned["gain_db"]
    axes.axhline(bicubic, color=theme.variants["bicubic"], linestyle=(0, (5, 3)), linewidth=1.4)
    axes.axhline(unpruned["psnr_y"], color=theme.ink, linewidth=0.9)
    for how, rows in nets[nets["sparsity"] > 0].groupby("how", sort=False):
        axes.plot(
            [0, *100 * rows["sparsity"]], [unpruned["psnr_y"], *rows["psnr_y"]], marker="o", markersize=5,
            color=colours[str(how)], label=str(how),
        )  # fmt: skip
    for text, height in (("whole", unpruned["psnr_y"]), ("bicubic", bicubic)):
        axes.annotate(
            text, (99, height), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color=theme.ink
        )


def describe(rows: pd.DataFrame) -> str:
    """Return the alt text of the figure; ``rows`` are of one set."""
    parts = [
        f"{row['system']} ×{row['scale']:.0f} ({row['how']} at {row['sparsity']:.0%}) {row['over_unpruned_db']:+.2f} dB"
        for _, row in rows[rows["sparsity"] > 0].iterrows()
    ]
    return f"PSNR Y of pruned nets relative to the unpruned ones on {rows['set'].iloc[0]}: {'; '.join(parts)}."
