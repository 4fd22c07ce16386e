"""Section "Latency of single operators": the table and the bars of the stage operators."""

from pathlib import Path

import pandas as pd

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, plain_log_ticks, save
from pipeline_src.reporting.section import Block, Figure, Figures, Section, Text, table
from pipeline_src.reporting.tables import RUNTIMES, Column
from pipeline_src.reporting.timing import precisions
from pipeline_src.tables import Kind, read_table

KINDS = [(runtime, precision) for runtime in ("tflite", "openvino") for precision in ("float32", "int8")]
COLUMNS = (
    Column("operator", "Operator"),
    *(Column(f"{r} {p}", f"{RUNTIMES[r]} {p} (ms)", "{:.2f}", f"{r} {p} note") for r, p in KINDS),
)

KEY: dict[str, Kind] = {"operator": str, "channels": int, "height": int, "width": int, "threads": int}
MEASURED: dict[str, Kind] = {
    "runtime": str, "precision": str, "settled": bool | None,
    **dict.fromkeys(("runs", "p50_ms", "p50_low_ms", "p50_high_ms"), float | None),
}  # fmt: skip


def build(data: ReportData) -> Section:
    """Return the section."""
    rows = read(paths.results("operators") / "operators.csv")
    setup = rows.iloc[0]
    intro = (
        f"Each operator that a net may consist of, alone in a file, on tensors of {setup['channels']} channels and "
        f"{setup['width']}×{setup['height']} pixels, with {setup['threads']} threads. Operators that upscale produce "
        "an RGB image at ×3. Two operators in one net may cost less than their sum, because runtimes fuse operators: "
        "a ReLU, for example, with the convolution before it. ± is the distance from the median to the farther end of "
        "its 95 % confidence interval; a latency with its number of runs in brackets has not settled."
    )
    figure = Figure("operators", "operators", describe(rows), lambda path, theme: draw(rows, path, theme))
    lead = "What the parts of a network cost on this machine, each alone."
    blocks: list[Block] = [Text(intro), table("Latency of single operators", COLUMNS, rows), Figures([figure])]
    return Section("operators", "Latency of single operators", "Operators", blocks, lead=lead, folded=True)


def read(path: Path) -> pd.DataFrame:
    """Return a row per operator, with the p50 in ms per ``<runtime> <precision>``, NaN where it cannot run.

    ``<runtime> <precision> note`` is how precise it is. The columns ``channels``, ``height``, ``width`` and ``threads``
    say how it was measured.

    Raises:
        UserError: if the file is missing, damaged or without rows.
    """
    rows = read_table(path, KEY | MEASURED, paths.remedy("operators"))
    if rows.empty:
        raise UserError(f"{path} has no rows; {paths.remedy('operators')}")
    kinds = rows["runtime"] + " " + rows["precision"]
    rows["settled"] = rows["settled"].eq(True)
    rows["note"] = precisions(rows)
    operators = rows[[*KEY]].drop_duplicates(ignore_index=True)
    for column in COLUMNS[1:]:
        latencies = operators.merge(rows[kinds == column.name], how="left", on=[*KEY])
        operators[column.name], operators[column.note] = latencies["p50_ms"], latencies["note"].fillna("")
    return operators


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Draw the p50 of each operator as bars, int8 below float, on a logarithmic axis; a panel per runtime."""
    with drawing(theme, 9.6, 1.4 + 0.36 * len(rows)) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, runtime in zip(panels, dict.fromkeys(runtime for runtime, _ in KINDS), strict=True):
            for offset, precision, colour in ((-0.2, "float32", "fp32"), (0.2, "int8", "qat")):
                heights = [index + offset for index in range(len(rows))]
                latencies = rows[f"{runtime} {precision}"]
                axes.barh(heights, latencies, height=0.38, color=theme.variants[colour], label=precision)
                for y, ms in zip(heights, latencies, strict=True):
                    text = "cannot run" if pd.isna(ms) else f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"
                    point, unit = ((0, y), axes.get_yaxis_transform()) if pd.isna(ms) else ((ms, y), "data")
                    axes.annotate(
                        text, point, xycoords=unit, xytext=(3, 0), textcoords="offset points", va="center",
                        fontsize=7.5, color=theme.ink,
                    )  # fmt: skip
            axes.set(title=RUNTIMES[runtime], xlabel="p50 latency (ms)", xscale="log")
            axes.grid(axis="y", visible=False)
            axes.margins(x=0.12, y=0.01)
            low, high = axes.get_xlim()
            plain_log_ticks(axes, high / low)
        panels[0].set_yticks(range(len(rows)), rows["operator"])
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return save(figure, path)


def describe(rows: pd.DataFrame) -> str:
    """Return the alt text of the figure."""
    parts = []
    for column in COLUMNS[1:]:
        latencies = rows[["operator", column.name]].dropna().sort_values(column.name)
        listed = ", ".join(f"{operator} {ms:.1f}" for operator, ms in latencies.itertuples(index=False))
        parts.append(f"{column.title} {listed}")
    return f"The p50 latency of single operators, fastest first. {'. '.join(parts)}."
