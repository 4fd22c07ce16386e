"""What pruning costs and brings: every smaller net beside the whole one and bicubic."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline_src.params import Pruning, System
from pipeline_src.reporting.figures import Theme, drawing, save
from pipeline_src.reporting.tables import NAMED, Column, deployed, places

NAMES = {"l1": "L1 norm", "l2": "L2 norm", "fpgm": "FPGM", "level": "level (weights)"}
COLUMNS = (
    Column("system", "Net"),
    Column("how", "Pruned by"),
    Column("sparsity", "Sparsity", "{:.0%}"),
    *(NAMED[name] for name in ("scale", "set", "psnr_y")),
    Column("against_whole_db", "Against the whole net (dB)", "{:+.2f}"),
    *(NAMED[name] for name in ("gain_db", "params", "mult_adds", "size_kib", "p50_ms")),
    Column("times_faster", "Times faster", "{:.2f}"),
)


def compared(table: pd.DataFrame, systems: Mapping[str, System]) -> pd.DataFrame:
    """The fp32 files (:func:`deployed`) of every system that was pruned, the whole net first: a row per scale and set.

    Adds to the rows of ``table``: ``whole`` (the system), ``how`` and ``sparsity`` (0 for the whole net),
    ``against_whole_db`` (PSNR Y over that of the whole net) and ``times_faster`` (how often the p50 of the whole net
    contains its own).
    """
    cuts = {f"{name}/{net}": cut for name, system in systems.items() for net, cut in system.prune.nets.items()}
    pruned = [name for name, system in systems.items() if system.prune.nets]
    rows = deployed(table)
    rows = rows[(rows["variant"] == "fp32") & rows["system"].isin([*pruned, *cuts])].copy()
    rows["whole"] = rows["system"].str.split("/").str[0]
    rows["sparsity"] = [cuts[net].sparsity if net in cuts else 0.0 for net in rows["system"]]
    rows["how"] = [_how(cuts[net]) if net in cuts else "" for net in rows["system"]]
    place = ["whole", "scale", "set"]
    whole = rows.loc[rows["sparsity"] == 0, [*place, "psnr_y", "p50_ms"]]
    beside = rows[place].merge(whole, how="left").set_index(rows.index)
    rows["against_whole_db"] = (rows["psnr_y"] - beside["psnr_y"]).where(rows["sparsity"] > 0)
    rows["times_faster"] = (beside["p50_ms"] / rows["p50_ms"]).where(rows["sparsity"] > 0)
    order = {"whole": list(systems), "set": list(dict.fromkeys(table["set"]))}
    return rows.sort_values(
        ["whole", "scale", "set", "sparsity"], key=lambda its: places(its, order), kind="stable", ignore_index=True
    )


def _how(cut: Pruning) -> str:
    """The pruner, and what is not as it is by itself."""
    usual = Pruning(pruner=cut.pruner, sparsity=cut.sparsity)
    told = {"scope": cut.scope, "mode": cut.mode.replace("_", " "), "weights": f"{cut.weights} weights"}
    unusual = [text for key, text in told.items() if getattr(cut, key) != getattr(usual, key)]
    some = ["some layers"] if (cut.layers, cut.exclude) != (usual.layers, usual.exclude) else []
    return ", ".join([NAMES[cut.pruner], *unusual, *some])


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """PSNR Y against sparsity: a panel per system and scale, a line per way to prune; ``rows`` are of one set."""
    panels = list(rows.groupby(["whole", "scale"], sort=False))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    ways = [how for how in dict.fromkeys(rows["how"]) if how]
    colours = {how: theme.series[place % len(theme.series)] for place, how in enumerate(ways)}
    with drawing(theme, 9.6, 0.8 + 3.0 * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, ((system, scale), its) in zip(grid, panels, strict=False):
            whole = its[its["sparsity"] == 0].iloc[0]
            bicubic = whole["psnr_y"] - whole["gain_db"]
            axes.axhline(bicubic, color=theme.variants["bicubic"], linestyle=(0, (5, 3)), linewidth=1.4)
            axes.axhline(whole["psnr_y"], color=theme.ink, linewidth=0.9)
            for how, its_way in its[its["sparsity"] > 0].groupby("how", sort=False):
                axes.plot(
                    [0, *100 * its_way["sparsity"]], [whole["psnr_y"], *its_way["psnr_y"]], marker="o", markersize=5,
                    color=colours[str(how)], label=str(how),
                )  # fmt: skip
            axes.set(title=f"{system} ×{scale:.0f}", xlabel="sparsity (%)", ylabel="PSNR Y (dB)", xlim=(-3, 100))
            for text, height in (("whole", whole["psnr_y"]), ("bicubic", bicubic)):
                axes.annotate(
                    text, (99, height), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
                    color=theme.ink,
                )  # fmt: skip
        for axes in grid[len(panels) :]:
            axes.remove()
        handles = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)))
        return save(figure, path)


def in_words(rows: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it; ``rows`` are of one set."""
    parts = [
        f"{row['system']} ×{row['scale']:.0f} ({row['how']} at {row['sparsity']:.0%}) {row['against_whole_db']:+.2f} dB"
        for _, row in rows[rows["sparsity"] > 0].iterrows()
    ]
    return f"PSNR Y of pruned nets against the whole ones on {rows['set'].iloc[0]}: {'; '.join(parts)}."
