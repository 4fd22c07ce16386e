"""Measurements as one table: reading the benchmarks, the columns, and how a cell is shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_src import paths
from pipeline_src.config import HERE, SCALES
from pipeline_src.devices.rows import read as read_device
from pipeline_src.devices.rows import with_quality
from pipeline_src.errors import UserError
from pipeline_src.reporting.timing import is_faster, precisions, settled
from pipeline_src.tables import Kind, read_table

# in the order in which every table lists them, with the names that readers know
VARIANTS = {"bicubic": "bicubic", "fp32": "fp32", "ptq": "int8 PTQ", "qat": "int8 QAT"}
RUNTIMES = {
    "tflite": "TFLite",
    "openvino": "OpenVINO",
    "openvino_fp16": "OpenVINO fp16",
    "onnx": "ONNX",
    "torch": "torch",
}

WORSE = 0.02  # dB: a faster file of another runtime is no alternative if it loses more than this
TEXT = ("system", "variant", "runtime", "set", "weights", "dtype", "sha256", "disagrees", "fails")
NUMBERS = (
    "psnr_y", "ssim_y", "psnr_rgb_shave1", "lr_height", "lr_width", "threads", "runs",
    "p50_ms", "p90_ms", "iqr_ms", "p50_low_ms", "p50_high_ms", "infer_p50_ms", "infer_p50_low_ms", "infer_p50_high_ms",
    "file_bytes", "peak_memory_mb", "params", "mult_adds", "off_levels",
)  # fmt: skip
SETTLED = ("settled", "infer_settled")
MEASURED: dict[str, Kind] = {
    "scale": int, **dict.fromkeys(TEXT, str), **dict.fromkeys(NUMBERS, float | None),
    **dict.fromkeys(SETTLED, bool | None),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: the column of the data frame.
        title: its heading.
        number_format: how its numbers are shown, for :meth:`str.format`; empty if it holds text.
        note: a column of the data frame with a text that follows the number, such as its precision.
    """

    name: str
    title: str
    number_format: str = ""
    note: str = ""


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
    Column("ms_per_mp", "p50 per output MP (ms)", "{:.1f}", "ms_per_mp_note"),
    Column("p50_ms", "p50 (ms)", "{:.1f}", "p50_note"),
    Column("p90_ms", "p90 (ms)", "{:.1f}", "p90_note"),
    Column("runs", "Timed calls", "{:.0f}"),
    Column("lr_size", "LR timed"),
    Column("faster", "Faster still"),
    Column("off_levels", "Levels off", "{:.0f}"),
    Column("size_kib", "File (KiB)", "{:.0f}"),
    Column("peak_memory_mb", "Peak memory (MB)", "{:.0f}"),
    Column("mult_adds", "Mult-Adds (G)", "{:.2f}"),
    Column("params", "Params", "{:,.0f}"),
    Column("provenance", "Weights"),
)


NAMED = {column.name: column for column in COLUMNS}


def read(folder: Path, systems: list[str], sets: list[str], devices: Sequence[str] = ()) -> pd.DataFrame:
    """Return every row of ``<folder>/<system>/benchmark.csv`` of the named systems and sets, and of the named devices.

    The rows of a device are those of this machine with the latencies, the memory and the agreement of the device. These
    columns are added:

    * ``device``: ``here``, or the name of a device
    * ``gain_db``: PSNR Y over bicubic on the same scale and set
    * ``loss_db``: PSNR Y below fp32 of the same system, runtime, scale and set
    * ``ms_per_mp``: p50 per million output pixels, because systems may be timed at different sizes
    * ``provenance``: where the weights come from, and the data type of the training
    * ``lr_size``: width×height of the timed LR image
    * ``p50_note``, ``ms_per_mp_note``, ``p90_note``: how precise the figure is
      (:func:`~pipeline_src.reporting.timing.precision`)
    * ``faster``: the fastest other runtime's file of the same net, with its p50, if it is faster than this file
      (:func:`~pipeline_src.reporting.timing.is_faster`) on the same device, loses no more than ``WORSE`` dB against it,
      and gives the same image as at export
    * ``disagrees``: a sentence if the file gives another image than at export, else empty
    * ``size_kib``: the size of the file

    The bicubic rows appear once per scale and set. Sorted by scale, set, system, variant, runtime and device.

    Raises:
        UserError: if a file is missing, damaged, or lacks one of the sets, or a device has measured other files.
    """
    if not systems:
        raise UserError("params.yaml has no system to report on; add one under `systems`")
    tables = [_read_one(folder / system / "benchmark.csv", system, sets) for system in systems]
    rows = pd.concat(tables, ignore_index=True)
    bicubic = _bicubic(rows)
    rows = pd.concat([bicubic, rows[rows["variant"] != "bicubic"]], ignore_index=True)

    key = ["scale", "set"]
    rows["gain_db"] = rows["psnr_y"] - rows[key].merge(bicubic[[*key, "psnr_y"]], how="left")["psnr_y"]
    rows.loc[rows["variant"] == "bicubic", "gain_db"] = float("nan")
    key = ["system", "runtime", "scale", "set"]
    fp32 = rows.loc[rows["variant"] == "fp32", [*key, "psnr_y"]]
    rows["loss_db"] = rows[key].merge(fp32, how="left")["psnr_y"] - rows["psnr_y"]
    rows.loc[rows["variant"] == "fp32", "loss_db"] = float("nan")
    rows = _with_devices(rows.assign(device=HERE), devices)
    rows["size_kib"] = rows["file_bytes"] / 1024
    megapixels = rows["lr_height"] * rows["lr_width"] * rows["scale"] ** 2 / 1e6
    rows["ms_per_mp"] = rows["p50_ms"] / megapixels
    rows["provenance"], rows["lr_size"] = _provenance(rows), _sizes(rows)
    rows["p50_note"] = precisions(rows)
    rows["ms_per_mp_note"] = precisions(rows, per=megapixels)
    rows["p90_note"] = [note if note.startswith("(") else "" for note in rows["p50_note"]]
    rows["faster"] = _faster(rows)

    order: dict[str, Sequence[str]] = {
        "set": sets,
        "system": ["bicubic", *systems],
        "variant": list(VARIANTS),
        "runtime": ["", *_runtimes(rows)],
        "device": [HERE, *devices],
    }
    by = ["scale", "set", "system", "variant", "runtime", "device"]
    return rows.sort_values(by, key=lambda column: rank(column, order), ignore_index=True)


def failing(folder: Path, systems: list[str], devices: Sequence[str] = ()) -> pd.DataFrame:
    """Return the files that could not be run on a device, and why in ``fails``; :func:`read` leaves them out."""
    columns = ["device", "system", "variant", "runtime", "scale", "fails"]
    here = [_read(folder / system / "benchmark.csv", system).assign(device=HERE) for system in systems]
    there = [
        {name: row.get(name, device) for name in columns}
        for device in devices
        for row in read_device(device)
        if row["system"] in systems
    ]
    rows = pd.concat([*here, pd.DataFrame(there, columns=columns)])
    return rows.loc[rows["fails"] != "", columns].drop_duplicates(ignore_index=True)


def _read(path: Path, system: str) -> pd.DataFrame:
    remedy = paths.remedy("benchmark", system)
    return read_table(path, MEASURED, remedy, may_lack=("sha256",))  # of which devices alone have need


def _read_one(path: Path, system: str, sets: list[str]) -> pd.DataFrame:
    rows, remedy = _read(path, system), paths.remedy("benchmark", system)
    if rows.empty:
        raise UserError(f"{path} has no rows; {remedy}")
    for name in SETTLED:
        rows[name] = rows[name].eq(True)
    rows["system"] = system
    if missing := [name for name in sets if name not in set(rows["set"])]:
        raise UserError(f"{path} has no rows for the set {missing[0]}; {remedy}")
    _refuse_impossible(rows, path, remedy)
    rows = rows[rows["set"].isin(sets) & (rows["fails"] == "")]
    unmeasured = rows[rows["psnr_y"].isna()]
    if not unmeasured.empty:
        raise UserError(f"{path} has no PSNR in line {unmeasured.index[0] + 2}; {remedy}")
    return rows


def _refuse_impossible(rows: pd.DataFrame, path: Path, remedy: str) -> None:
    """Raise UserError for a row that no benchmark writes: another scale or variant, a figure of 0 or less, or twice."""
    key = ["variant", "runtime", "scale", "set"]
    wrong = {
        "scale": ~rows["scale"].isin(SCALES),
        "variant": ~rows["variant"].isin(VARIANTS),
        "p50_ms": rows["p50_ms"] <= 0,
        "file_bytes": rows["file_bytes"] <= 0,
        "line, which is there twice": rows.duplicated(key),
    }
    for name, lines in wrong.items():
        if lines.any():
            raise UserError(f"{path} has a wrong {name} in line {rows.index[lines][0] + 2}; {remedy}")


def _with_devices(rows: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    """Return the rows of this machine, and those of devices."""
    files = rows[rows["variant"] != "bicubic"]
    here: list[Any] = files.assign(sha256=files.get("sha256", "")).to_dict("records")
    there = [pd.DataFrame(with_quality(device, read_device(device), here)) for device in devices]
    filled = [table.astype(rows.dtypes.to_dict()) for table in there if not table.empty]
    return pd.concat([rows, *filled], ignore_index=True)


def _runtimes(rows: pd.DataFrame) -> list[str]:
    """Return the known runtimes, each followed by the delegates that devices have run it with."""
    named = {*rows["runtime"]} - {"", *RUNTIMES}
    return [name for known in RUNTIMES for name in (known, *sorted(of for of in named if of.startswith(f"{known}_")))]


def _bicubic(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one bicubic row per scale and set; UserError if the files of the systems disagree or all lack one."""
    groups = rows[rows["variant"] == "bicubic"].groupby(["scale", "set"], as_index=False)
    spread = groups["psnr_y"].agg(lambda psnr: psnr.max() - psnr.min())
    conflicts = spread[spread["psnr_y"] > 0.001]
    if not conflicts.empty:
        scale, name = conflicts.iloc[0][["scale", "set"]]
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


def rank(column: pd.Series, order: Mapping[str, Sequence[str]]) -> pd.Series:
    """Return a sort key for a column: the position of each value in ``order``, if ``order`` names the column."""
    names = order.get(str(column.name))
    return column if names is None else column.map({name: index for index, name in enumerate(names)})


def _provenance(rows: pd.DataFrame) -> "pd.Series[str]":
    origin = rows["weights"].astype(str).str.removeprefix("pipeline_src/pretrained/")
    origin = origin.str.replace(".safetensors", "", regex=False)
    return (origin + ", " + rows["dtype"].astype(str)).where(origin != "", "")


def _sizes(rows: pd.DataFrame) -> list[str]:
    cells = zip(rows["lr_width"], rows["lr_height"], rows["p50_ms"].notna(), strict=True)
    return [f"{width:.0f}×{height:.0f}" if timed else "" for width, height, timed in cells]


def _faster(rows: pd.DataFrame) -> "pd.Series[str]":
    files = exported(settled(rows))
    key = ["device", "system", "variant", "scale", "set"]
    of_net: dict[Any, list[Any]] = defaultdict(list)  # plain tuples: a table per group would take minutes for many nets
    for file in files[[*key, "runtime", "psnr_y", "p50_ms", "p50_low_ms", "p50_high_ms", "disagrees"]].itertuples():
        of_net[file[1 : 1 + len(key)]].append(file)
    faster_file: dict[Any, str] = {}
    for group in of_net.values():
        for file in group:
            as_good = [other for other in group if other.psnr_y >= file.psnr_y - WORSE and other.disagrees == ""]
            if faster := [other for other in as_good if is_faster(other, file)]:
                best = min(faster, key=lambda other: float(other.p50_ms))
                faster_file[file.Index] = f"{RUNTIMES.get(best.runtime, best.runtime)} {best.p50_ms:.1f}"
    return pd.Series([faster_file.get(index, "") for index in rows.index], rows.index)


def disagreeing(table: pd.DataFrame) -> list[str]:
    """Return a sentence for each file that gives another image on the machine that measured than at export."""
    rows = table[table["disagrees"] != ""].drop_duplicates(["device", "system", "variant", "runtime", "scale"])
    return [f"{' '.join(line(row, COLUMNS[:4]))} {row['disagrees']}" for _, row in rows.iterrows()]


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are shown first: bicubic and the :func:`deployed` files.

    Where another runtime's file is faster, the column ``faster`` names it.
    """
    return table[(table["variant"] == "bicubic") | table.index.isin(deployed(table).index)]


def exported(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows measured on exported files, or the rows of torch if there are none."""
    files = rows[rows["runtime"] != "torch"]
    return rows if files.empty else files


def deployed(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per system, variant, scale and set: the TFLite file if there is one, else the next runtime.

    Of several devices it is the row of the first, this machine.
    """
    files = table[table["variant"] != "bicubic"]
    return files.drop_duplicates(["system", "variant", "scale", "set"])


def cell(column: Column, value: object) -> str:
    """Return a value as it is shown, with a typographic minus; a dash stands for a missing value."""
    if not column.number_format:
        names = {"variant": VARIANTS | {"bicubic": ""}, "runtime": RUNTIMES}.get(column.name, {})
        return names.get(str(value), str(value)) or "–"
    if pd.isna(value):  # type: ignore[call-overload]
        return "–"
    number = float(value) / 1e9 if column.name == "mult_adds" else float(value)  # type: ignore[arg-type]
    text = column.number_format.format(number)
    no_sign = column.number_format.format(0.0)
    return no_sign if text == no_sign.replace("+", "-") or text == f"-{no_sign}" else text.replace("-", "−")


def line(row: pd.Series, columns: Sequence[Column]) -> list[str]:
    """Return the cells of a row as they are shown."""
    notes = [f" {row[column.note]}" if column.note and row[column.note] else "" for column in columns]
    return [cell(column, row[column.name]) + note for column, note in zip(columns, notes, strict=True)]
