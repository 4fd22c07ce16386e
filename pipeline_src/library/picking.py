"""The exported files of the run in this folder, from which ``superres pick`` chooses."""

from collections.abc import Sequence
from pathlib import Path

from pipeline_src import budgets, paths
from pipeline_src.budgets import COLUMNS, Candidate, Size
from pipeline_src.config import HERE, SCALES
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.devices.rows import read as read_device
from pipeline_src.devices.rows import with_quality
from pipeline_src.errors import UserError
from pipeline_src.library import run
from pipeline_src.library.entries import BICUBIC, Entry
from pipeline_src.tables import Row, read_rows


def candidates(scale: int, size: Size, chosen: Sequence[str] = (), device: str = HERE) -> list[Candidate]:
    """Return the exported files of this run that can be compared.

    Left out are files whose latency has not settled, those that cannot run or give another image than at export, and
    the nets of a learned downscaler, which rebuild images of their own.

    Args:
        scale: upscaling factor.
        size: of the LR image that latencies are for.
        chosen: image sets that the quality is the mean over; all if there are none.
        device: of params.yaml that latencies are of.

    Raises:
        UserError: if there is no run, or it has measured no such set or scale, or nothing on the device.
    """
    entries = [entry for entry in run.entries() if _table(entry).is_file()]
    there = read_device(device) if entries and device != HERE else None
    measured = [(entry, _rows(entry, device, there)) for entry in entries]
    known = [*dict.fromkeys(row["set"] for _, rows in measured for row in rows)]
    if not known:
        raise UserError(f"{paths.results('benchmark')} holds no measurements; run `make report` in this folder first")
    if unknown := [name for name in chosen if name not in known]:
        raise UserError(f"this run has measured nothing on {unknown[0]}; choose one of {', '.join(known)} as --set")
    found = [
        candidate
        for entry, rows in measured
        if not entry.downscaler
        for candidate in budgets.candidates(entry.name, rows, scale, size, chosen or known)
        if not candidate.left_out
    ]
    if not found:
        scales = {row["scale"] for _, rows in measured for row in rows}
        has = ", ".join(f"×{known}" for known in SCALES if known in scales)
        raise UserError(f"this run has no file ×{scale} whose latency has settled; it has {has}")
    return found


def file_of(candidate: Candidate) -> Path:
    """Return where an exported file lies.

    Raises:
        UserError: if it is not there.
    """
    suffix = FORMATS[candidate.format].SUFFIX
    return run.exported_file(candidate.net, candidate.variant, suffix, candidate.scale)


def _table(entry: Entry) -> Path:
    return paths.results("benchmark", entry.name) / paths.BENCHMARK_TABLE


def _rows(entry: Entry, device: str, there: list[Row] | None) -> list[Row]:
    """Return what was measured of a net, on a device if ``there`` are its rows, of all nets."""
    remedy = paths.remedy("benchmark", entry.name.partition("/")[0])
    if there is None:
        return read_rows(_table(entry), COLUMNS, remedy)
    here = [{"system": entry.name} | row for row in read_rows(_table(entry), COLUMNS | {"sha256": str}, remedy)]
    return [row for row in here if row["variant"] == BICUBIC] + [*with_quality(device, there, here)]
