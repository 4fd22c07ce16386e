"""What single operators cost: the table and the bars of the stage nodes."""

from pathlib import Path

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.reporting.figures import Theme, drawing, save
from pipeline_src.reporting.tables import RUNTIMES, Column

KINDS = [(runtime, precision) for runtime in ("tflite", "openvino") for precision in ("float32", "int8")]
COLUMNS = (Column("node", "Operator"), *(Column(f"{r} {p}", f"{RUNTIMES[r]} {p} (ms)", "{:.2f}") for r, p in KINDS))


def read(path: Path) -> pd.DataFrame:
    """A row per operator: ``node``, and the p50 in ms of ``<runtime> <precision>``, NaN where it cannot run.

    Beside it what it was measured with: ``channels``, ``height``, ``width`` and ``threads``. UserError if the file is
    missing.
    """
    try:
        rows = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run `python -m pipeline_src.stages.nodes`, or `dvc repro`") from None
    rows["kind"] = rows["runtime"] + " " + rows["precision"]
    place = ["node", "channels", "height", "width", "threads"]
    table = rows.set_index([*place, "kind"])["p50_ms"].unstack("kind").reindex(columns=[c.name for c in COLUMNS[1:]])
    order = list(dict.fromkeys(rows["node"]))
    return table.reset_index().sort_values("node", key=lambda nodes: nodes.map(order.index), ignore_index=True)


def draw(table: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Bars of the p50 of each operator, int8 beside float: a panel per runtime; the scale is logarithmic."""
    with drawing(theme, 9.6, 1.4 + 0.36 * len(table)) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, runtime in zip(panels, dict.fromkeys(runtime for runtime, _ in KINDS), strict=True):
            for offset, precision, colour in ((-0.2, "float32", "fp32"), (0.2, "int8", "qat")):
                places = [place + offset for place in range(len(table))]
                milliseconds = table[f"{runtime} {precision}"]
                axes.barh(places, milliseconds, height=0.38, color=theme.variants[colour], label=precision)
                for place, ms in zip(places, milliseconds, strict=True):
                    text = "cannot run" if pd.isna(ms) else f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"
                    at, of = ((0, place), axes.get_yaxis_transform()) if pd.isna(ms) else ((ms, place), "data")
                    axes.annotate(
                        text, at, xycoords=of, xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5,
                        color=theme.ink,
                    )  # fmt: skip
            axes.set(title=RUNTIMES[runtime], xlabel="p50 latency (ms)", xscale="log")
            axes.grid(axis="y", visible=False)
            axes.margins(x=0.12, y=0.01)
        panels[0].set_yticks(range(len(table)), table["node"])
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return save(figure, path)


def in_words(table: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it."""
    parts = []
    for column in COLUMNS[1:]:
        its = table[["node", column.name]].dropna().sort_values(column.name)
        parts.append(f"{column.title} {', '.join(f'{node} {ms:.1f}' for node, ms in its.itertuples(index=False))}")
    return f"The p50 of single operators, fastest first. {'. '.join(parts)}."
