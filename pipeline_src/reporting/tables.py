"""The tables of the report: every measured row, the headline among them, and what has been published."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

PUBLISHED = Path(__file__).with_name("published.csv")
METRICS = {"psnr_y": "Y", "psnr_rgb_shave1": "RGB, shave 1"}

# in the order of every table, with the names that readers know
VARIANTS = {"bicubic": "bicubic", "fp32": "fp32", "pruned": "pruned", "ptq": "int8 PTQ", "qat": "int8 QAT"}
RUNTIMES = {"tflite": "TFLite", "openvino": "OpenVINO", "onnx": "ONNX", "torch": "torch"}

TEXT = ("system", "variant", "runtime", "set")
NUMBERS = (
    "scale", "psnr_y", "ssim_y", "lr_height", "lr_width", "threads", "p50_ms", "p90_ms", "iqr_ms",
    "file_bytes", "peak_memory_mb", "params", "mult_adds",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of the written tables: its title, and how its numbers are shown (text if ``shown`` is empty)."""

    name: str
    title: str
    shown: str = ""


COLUMNS = (
    Column("system", "System"),
    Column("variant", "Variant"),
    Column("runtime", "Runtime"),
    Column("scale", "Scale", "×{:.0f}"),
    Column("set", "Set"),
    Column("psnr_y", "PSNR Y (dB)", "{:.2f}"),
    Column("ssim_y", "SSIM Y", "{:.4f}"),
    Column("gain_db", "Over bicubic (dB)", "{:+.2f}"),
    Column("loss_db", "Lost to fp32 (dB)", "{:.2f}"),
    Column("p50_ms", "p50 (ms)", "{:.1f}"),
    Column("p90_ms", "p90 (ms)", "{:.1f}"),
    Column("size_kib", "File (KiB)", "{:.0f}"),
    Column("peak_memory_mb", "Peak memory (MB)", "{:.0f}"),
    Column("mult_adds", "Mult-Adds (G)", "{:.2f}"),
    Column("params", "Params", "{:,.0f}"),
    Column("published", "Published PSNR (dB)"),
)
CSV_DECIMALS = {
    "psnr_y": 4, "ssim_y": 6, "gain_db": 4, "loss_db": 4,
    "p50_ms": 3, "p90_ms": 3, "iqr_ms": 3, "size_kib": 1, "peak_memory_mb": 1,
}  # fmt: skip


def read(folder: Path, systems: list[str], sets: list[str]) -> pd.DataFrame:
    """Every row of ``<folder>/<system>/benchmark.csv`` of the named systems and evaluation sets, in one table.

    Adds ``gain_db`` (PSNR Y over bicubic on the same scale and set), ``loss_db`` (PSNR Y under fp32 of the same
    system, runtime, scale and set), ``size_kib``, ``published`` and ``published_source``. The bicubic rows come once
    per scale and set. Sorted by scale, set, system, variant and runtime. UserError if a file is missing, empty or
    older than the sets.
    """
    if not systems:
        raise UserError("params.yaml has no system to report on; add one under `systems`")
    tables = [_read_one(folder / system / "benchmark.csv", system, sets) for system in systems]
    rows = pd.concat(tables, ignore_index=True)
    bicubic = _bicubic(rows)
    rows = pd.concat([bicubic, rows[rows["variant"] != "bicubic"]], ignore_index=True)

    place = ["scale", "set"]
    rows["gain_db"] = rows["psnr_y"] - rows[place].merge(bicubic[[*place, "psnr_y"]], how="left")["psnr_y"]
    rows.loc[rows["variant"] == "bicubic", "gain_db"] = float("nan")
    place = ["system", "runtime", "scale", "set"]
    fp32 = rows.loc[rows["variant"] == "fp32", [*place, "psnr_y"]]
    rows["loss_db"] = rows[place].merge(fp32, how="left")["psnr_y"] - rows["psnr_y"]
    rows.loc[rows["variant"] == "fp32", "loss_db"] = float("nan")
    rows["size_kib"] = rows["file_bytes"] / 1024
    rows = _with_published(rows)

    order: dict[str, Sequence[str]] = {
        "set": sets,
        "system": ["bicubic", *systems],
        "variant": list(VARIANTS),
        "runtime": ["", *RUNTIMES],
    }
    by = ["scale", "set", "system", "variant", "runtime"]
    return rows.sort_values(by, key=lambda column: _places(column, order), ignore_index=True)


def _read_one(path: Path, system: str, sets: list[str]) -> pd.DataFrame:
    mend = f"run `python -m pipeline_src.stages.benchmark {system}`, or `dvc repro`"
    try:
        rows = pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {mend}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); {mend}") from None
    if missing := [name for name in (*TEXT, *NUMBERS) if name not in rows]:
        raise UserError(f"{path} lacks the column {missing[0]}; {mend}")
    if rows.empty:
        raise UserError(f"{path} has no rows; {mend}")
    for name in NUMBERS:
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    rows[list(TEXT)] = rows[list(TEXT)].fillna("")
    rows["system"] = system
    if missing := [name for name in sets if name not in set(rows["set"])]:
        raise UserError(f"{path} has no rows for the set {missing[0]}; {mend}")
    rows = rows[rows["set"].isin(sets)]
    unmeasured = rows[rows["psnr_y"].isna() | rows["scale"].isna()]
    if not unmeasured.empty:
        raise UserError(f"{path} has no PSNR or scale in line {unmeasured.index[0] + 2}; {mend}")
    return rows


def _bicubic(rows: pd.DataFrame) -> pd.DataFrame:
    """One bicubic row per scale and set; UserError where the systems' files disagree or one has none."""
    groups = rows[rows["variant"] == "bicubic"].groupby(["scale", "set"], as_index=False)
    spread = groups["psnr_y"].agg(lambda psnr: psnr.max() - psnr.min())
    apart = spread[spread["psnr_y"] > 0.001]
    if not apart.empty:
        scale, name = apart.iloc[0][["scale", "set"]]
        raise UserError(
            f"the bicubic rows of {name} ×{scale:.0f} differ between the systems' benchmark.csv, so they were measured "
            "on different images; run `dvc repro` to measure all systems again"
        )
    bicubic = groups.first().assign(system="bicubic", runtime="")
    wanted = rows[["scale", "set"]].drop_duplicates().merge(bicubic[["scale", "set", "psnr_y"]], how="left")
    if wanted["psnr_y"].isna().any():
        scale, name = wanted[wanted["psnr_y"].isna()].iloc[0][["scale", "set"]]
        raise UserError(f"no benchmark.csv has a bicubic row for {name} ×{scale:.0f}; run `dvc repro` to measure again")
    return bicubic


def _places(column: pd.Series, order: dict[str, Sequence[str]]) -> pd.Series:
    names = order.get(str(column.name))
    return column if names is None else column.map({name: place for place, name in enumerate(names)})


def published() -> pd.DataFrame:
    """Figures of others: ``system,variant,set,scale,metric,value,source``; ``metric`` is a key of ``METRICS``."""
    return pd.read_csv(PUBLISHED)


def _with_published(rows: pd.DataFrame) -> pd.DataFrame:
    theirs = published()
    theirs["published"] = theirs["value"].map("{:.2f}".format) + " (" + theirs["metric"].map(METRICS) + ")"
    place = ["system", "variant", "set", "scale"]
    cells = theirs.groupby(place, as_index=False).agg(
        published=("published", "; ".join), published_source=("source", lambda s: "; ".join(dict.fromkeys(s)))
    )
    rows = rows.merge(cells, how="left", on=place)
    return rows.fillna({"published": "", "published_source": ""})


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """The rows for somebody with a latency budget.

    Bicubic; of every system, variant, scale and set the TFLite file; and another runtime's file only where it is the
    fastest of all. torch is no exported file, so it appears only where nothing else was measured. ``table`` as read.
    """
    bicubic, chosen = table["variant"] == "bicubic", []
    for _, rows in table[~bicubic].groupby(["system", "variant", "scale", "set"], sort=False):
        rows = exported(rows)
        chosen.append(rows.index[0])  # TFLite where there is one
        if rows["p50_ms"].notna().any():
            chosen.append(rows["p50_ms"].idxmin())
    return table[bicubic | table.index.isin(chosen)]


def exported(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows measured on exported files; where there are none, the rows of torch."""
    files = rows[rows["runtime"] != "torch"]
    return rows if files.empty else files


def deployed(table: pd.DataFrame) -> pd.DataFrame:
    """One row per system, variant, scale and set: the TFLite file where there is one, else the next runtime."""
    files = table[table["variant"] != "bicubic"]
    return files.drop_duplicates(["system", "variant", "scale", "set"])


def columns_of(table: pd.DataFrame) -> list[Column]:
    """The columns worth showing: all, less ``published`` where nobody has published anything on these sets."""
    return [column for column in COLUMNS if column.name != "published" or table["published"].ne("").any()]


def cell(column: Column, value: object) -> str:
    """A value as it is shown, with a true minus; a dash where there is none."""
    if not column.shown:
        names = {"variant": VARIANTS | {"bicubic": ""}, "runtime": RUNTIMES}.get(column.name, {})
        return names.get(str(value), str(value)) or "–"
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    number = float(value) / 1e9 if column.name == "mult_adds" else float(value)  # type: ignore[arg-type]
    text = column.shown.format(number)
    no_sign = column.shown.format(0.0)
    return no_sign if text == no_sign.replace("+", "-") or text == f"-{no_sign}" else text.replace("-", "−")


def sources(table: pd.DataFrame) -> list[str]:
    """The sources of the published figures in ``table``; a cell cites them by number, from 1."""
    return [source for source in dict.fromkeys(table["published_source"]) if source]


def line(row: pd.Series, columns: Sequence[Column], cited: list[str]) -> list[str]:
    """A row as it is shown, with the number of its source in ``cited`` behind a published figure."""
    cells = [cell(column, row[column.name]) for column in columns]
    if columns[-1].name == "published" and row["published"]:
        cells[-1] += f" [{cited.index(row['published_source']) + 1}]"
    return cells


def _lines(table: pd.DataFrame) -> list[list[str]]:
    columns, cited = columns_of(table), sources(table)
    return [[column.title for column in columns], *(line(row, columns, cited) for _, row in table.iterrows())]


def markdown(table: pd.DataFrame) -> str:
    """``table`` as a GitHub-flavoured Markdown table, with the sources of published figures below it."""

    title, *lines = ("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |" for cells in _lines(table))
    rule = "|" + "|".join("---:" if column.shown else "---" for column in columns_of(table)) + "|"
    notes = [f"[{number}] {source}" for number, source in enumerate(sources(table), 1)]
    return "\n".join([title, rule, *lines]) + "\n" + "".join(f"\n{note}  " for note in notes) + ("\n" if notes else "")


LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "–": "--", "−": "$-$",
})  # fmt: skip


def latex(table: pd.DataFrame) -> str:
    """``table`` as a plain LaTeX ``tabular`` that needs no package, with the sources of published figures below it."""

    title, *lines = (" & ".join(text.translate(LATEX) for text in cells) + r" \\" for cells in _lines(table))
    spec = "".join("r" if column.shown else "l" for column in columns_of(table))
    head = [rf"\begin{{tabular}}{{{spec}}}", r"\hline", title, r"\hline"]
    notes = [rf"\par {f'[{number}] {source}'.translate(LATEX)}" for number, source in enumerate(sources(table), 1)]
    return "\n".join([*head, *lines, r"\hline", r"\end{tabular}", *notes]) + "\n"


def write(table: pd.DataFrame, folder: Path) -> None:
    """``table.csv`` with every row and plain numbers; ``table.md`` and ``table.tex`` with the headline rows."""
    names = [column.name for column in COLUMNS]
    names[names.index("p90_ms") + 1 : names.index("p90_ms") + 1] = ["iqr_ms", "lr_height", "lr_width", "threads"]
    plain = table[[*names, "published_source"]].round(CSV_DECIMALS)
    counts = ["scale", "lr_height", "lr_width", "threads", "mult_adds", "params"]
    plain = plain.astype(dict.fromkeys(counts, "Int64"))
    texts = {"csv": plain.to_csv(index=False), "md": markdown(headline(table)), "tex": latex(headline(table))}
    for suffix, text in texts.items():
        with whole_file(folder / f"table.{suffix}") as aside:
            aside.write_text(text, encoding="utf-8", newline="\n")
