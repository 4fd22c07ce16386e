"""The table ``measure.csv`` of what was measured on one device: a row per file.

Of the quality of a file it says nothing: that is the one in ``benchmark.csv``, because the file is the same, as long as
its image is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from pipeline_src import paths
from pipeline_src.benchmarking.latency import Latency
from pipeline_src.errors import UserError
from pipeline_src.tables import Kind, Row, read_rows, write_table

TIMES: dict[str, Kind] = {
    field.name: {"runs": int | None, "settled": bool | None}.get(field.name, float | None) for field in fields(Latency)
}
INFER: dict[str, Kind] = {f"infer_{name}": kind for name, kind in TIMES.items() if name != "runs"}
STATES = ("celsius_before", "celsius_after", "mhz_before", "mhz_after")
COLUMNS: dict[str, Kind] = {
    "system": str, "variant": str, "runtime": str, "scale": int, "format": str, "file": str, "sha256": str,
    "lr_height": int, "lr_width": int, "threads": int, **TIMES,
    **INFER, "timed_by": str,
    "peak_memory_mb": float | None, **dict.fromkeys(STATES, float | None),
    "off_levels": float | None, "off_share": float | None, "off_psnr": float | None, "compared": bool,
    "disagrees": str, "fails": str,
}  # fmt: skip
# What the device says of a file in place of this machine.
OF_DEVICE = (
    "runtime", "lr_height", "lr_width", "threads", *TIMES, *INFER, "peak_memory_mb", "off_levels", "off_share",
    "off_psnr", "disagrees",
)  # fmt: skip
KEY = ("system", "variant", "format", "scale")


def write(folder: Path, rows: list[Row]) -> None:
    """Write the table of a device into its folder."""
    write_table(folder / paths.DEVICE_TABLE, rows, [*COLUMNS])


def read(device: str) -> list[Row]:
    """Return the rows of a device; those of this machine are none.

    Raises:
        UserError: if the table is missing or damaged.
    """
    return read_rows(paths.measured(device) / paths.DEVICE_TABLE, COLUMNS, paths.remedy("measure", device))


def with_quality(device: str, measured: Iterable[Row], here: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows of a device with the columns of ``benchmark.csv``, per file and image set, and ``device``.

    Files that could not be measured there have none, nor have those whose quality was not measured here.

    Args:
        device: its name.
        measured: the rows of :func:`read`.
        here: rows of ``benchmark.csv``, with ``sha256``.

    Raises:
        UserError: if a file was another one when its quality was measured.
    """
    of_file: dict[tuple[object, ...], list[Row]] = {}
    for row in here:
        of_file.setdefault((row["system"], row["variant"], row["runtime"], row["scale"]), []).append(row)
    for row in measured:
        if row["fails"]:
            continue
        for quality in of_file.get(tuple(row[name] for name in KEY), ()):
            if quality["sha256"] != row["sha256"]:
                raise UserError(
                    f"device {device} has measured another {row['file']} of {row['system']} than the stage benchmark; "
                    f"{paths.remedy('measure', device)}"
                )
            yield quality | {name: row[name] for name in OF_DEVICE if name in quality} | {"device": device}
