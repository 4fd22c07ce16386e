"""Tables as text: CSV with every row, Markdown and LaTeX with the tables that sections offer as ``text_tables``."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from pipeline_src import paths
from pipeline_src.config import HERE
from pipeline_src.files import whole_file
from pipeline_src.reporting import tables
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Table
from pipeline_src.reporting.sections import downscaling, measurements, pruning, published
from pipeline_src.reporting.sections.provenance import LABELS, Machine, mixed, read_machines
from pipeline_src.tables import write_table

# in the order in which they are written
TEXT_TABLES: list[Callable[[ReportData], Iterable[Table]]] = [
    measurements.text_tables,
    pruning.text_tables,
    downscaling.text_tables,
    published.text_tables,
]
CSV_DECIMALS = {
    "psnr_y": 4, "ssim_y": 6, "psnr_rgb_shave1": 4, "gain_db": 4, "loss_db": 4, "published_psnr_y": 4,
    "published_ssim_y": 6, "difference_db": 4, "ms_per_mp": 3, "p50_ms": 3, "p50_low_ms": 3, "p50_high_ms": 3,
    "infer_p50_ms": 3, "infer_p50_low_ms": 3, "infer_p50_high_ms": 3, "p90_ms": 3, "iqr_ms": 3, "size_kib": 1,
    "peak_memory_mb": 1,
}  # fmt: skip
INFER_COLUMNS = ["infer_p50_ms", "infer_p50_low_ms", "infer_p50_high_ms", "infer_settled"]
LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "–": "--", "−": "$-$", "±": r"$\pm$",
})  # fmt: skip


def write(data: ReportData, folder: Path) -> None:
    """Write ``table.csv`` with every row and plain numbers, and ``table.md`` and ``table.tex`` with the text tables.

    The text tables are of the systems that the page shows.
    """
    write_table(folder / "table.csv", _all_rows(data.whole.table, _machines(data.whole)))
    for suffix, text in {"md": markdown(data), "tex": latex(data)}.items():
        with whole_file(folder / f"table.{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def _machines(data: ReportData) -> list[Machine]:
    return read_machines(paths.results("benchmark"), data.nets)


def _notes(data: ReportData) -> list[str]:
    """Return the sentences below the tables."""
    names = ", ".join(data.learned_downscaling)
    learned = f"{names}: LR made by a learned downscaler, for the others by MATLAB's bicubic." if names else ""
    return [note for note in (learned, mixed(_machines(data))) if note]


def _tables(data: ReportData) -> list[Table]:
    return [table for text_tables in TEXT_TABLES for table in text_tables(data)]


def markdown(data: ReportData) -> str:
    """Return the tables as GitHub-flavoured Markdown, with the cited sources below."""
    blocks = [_markdown_table(table) for table in _tables(data)]
    if sources := published.cited_sources(data):
        blocks.append("\n".join(f"{source}  " for source in sources))
    return "\n\n".join(blocks + _notes(data)) + "\n"


def _markdown_table(table: Table) -> str:
    titles = [column.title for column in table.columns]
    head, *body = (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in [titles, *table.rows]
    )
    rule = "|" + "|".join("---:" if column.number_format else "---" for column in table.columns) + "|"
    return "\n".join([f"**{table.label}**", "", head, rule, *body])


def latex(data: ReportData) -> str:
    """Return the tables as plain LaTeX ``tabular``s that need no package, with the cited sources below."""
    below = [*published.cited_sources(data), *_notes(data)]
    sources = [rf"\par {text.translate(LATEX)}" for text in below]
    return "\n".join([*(_latex_table(table) for table in _tables(data)), *sources]) + "\n"


def _latex_table(table: Table) -> str:
    titles = [column.title for column in table.columns]
    head, *body = (" & ".join(cell.translate(LATEX) for cell in cells) + r" \\" for cells in [titles, *table.rows])
    alignment = "".join("r" if column.number_format else "l" for column in table.columns)
    title = rf"\par\textbf{{{table.label.translate(LATEX)}}}\par"
    begin = rf"\begin{{tabular}}{{{alignment}}}"
    return "\n".join([title, begin, r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}"])


def _all_rows(table: pd.DataFrame, machines: list[Machine]) -> pd.DataFrame:
    """Return every measured row beside the published figure for it, rounded; with the CPU, unless of a device."""
    key = published.KEY
    figures = published.compare(table).drop_duplicates(key)[[*key, "published_psnr_y", "published_ssim_y", "source"]]
    rows = table.merge(figures.rename(columns={"source": "published_source"}), how="left", on=key)
    rows["difference_db"] = rows["psnr_y"] - rows["published_psnr_y"]
    cpus = {net: machine.facts.get(LABELS["cpu"], "") for machine in machines for net in machine.measured}
    rows["cpu"] = rows["system"].map(cpus).where(rows["device"] == HERE).fillna("")
    for name in tables.SETTLED:
        rows[name] = rows[name].where(rows["p50_ms"].notna())  # bicubic is not timed
    measured = [column.name for column in tables.COLUMNS if column.name not in ("lr_size", "faster", "provenance")]
    for column, following in (
        ("set", ["device", "cpu"]),
        ("ssim_y", ["psnr_rgb_shave1"]),
        ("p50_ms", ["p50_low_ms", "p50_high_ms", "settled", *INFER_COLUMNS]),
        ("p90_ms", ["iqr_ms"]),
        ("runs", ["lr_height", "lr_width", "threads"]),
        ("params", ["weights", "dtype"]),
    ):
        after = measured.index(column) + 1
        measured[after:after] = following
    added = ["published_psnr_y", "published_ssim_y", "difference_db", "published_source"]
    counts = ["scale", "runs", "lr_height", "lr_width", "threads", "mult_adds", "params"]
    return rows[[*measured, *added]].round(CSV_DECIMALS).astype(dict.fromkeys(counts, "Int64"))
