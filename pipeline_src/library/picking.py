"""The exported files of the run in this folder, from which ``superres pick`` chooses."""

from collections.abc import Sequence
from pathlib import Path

from pipeline_src import budgets, paths
from pipeline_src.budgets import COLUMNS, Candidate, Size
from pipeline_src.config import SCALES
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.library import run
from pipeline_src.library.entries import Entry
from pipeline_src.tables import Row, read_rows


def candidates(scale: int, size: Size, chosen: Sequence[str] = ()) -> list[Candidate]:
    """Return the exported files of this run that can be compared.

    Left out are files whose latency has not settled, those that cannot run or give another image than at export, and
    the nets of a learned downscaler, which rebuild images of their own.

    Args:
        scale: upscaling factor.
        size: of the LR image that latencies are for.
        chosen: image sets that the quality is the mean over; all if there are none.

    Raises:
        UserError: if there is no run, or it has measured no such set or scale.
    """
    measured = [(entry, _rows(entry)) for entry in run.entries()]
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
    suffix = FORMATS[candidate.runtime].SUFFIX
    return run.exported_file(candidate.net, candidate.variant, suffix, candidate.scale)


def machine(net: str) -> str:
    """Return the CPU and the threads that a net of this run was measured with.

    Raises:
        UserError: if what the benchmark has written of it is missing or damaged.
    """
    file = paths.results("benchmark", net) / "machine.json"
    said = read_json(file, dict[str, object], paths.remedy("benchmark", net.partition("/")[0]))
    features = str(said.get("cpu_features", "")).split()
    int8 = "VNNI" if any("vnni" in feature for feature in features) else "no VNNI"
    return f"{said.get('cpu', 'unknown CPU')} ({int8}), {said.get('threads', '?')} threads"


def _rows(entry: Entry) -> list[Row]:
    file = paths.results("benchmark", entry.name) / "benchmark.csv"
    remedy = paths.remedy("benchmark", entry.name.partition("/")[0])
    return read_rows(file, COLUMNS, remedy) if file.is_file() else []
