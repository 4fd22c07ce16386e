"""The best file of a run within a budget of time, size and quality."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_src import paths
from pipeline_src.config import HERE, SCALES
from pipeline_src.deployment.formats import FORMATS, name_of
from pipeline_src.devices.rows import read as read_device
from pipeline_src.devices.rows import with_quality
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.library import run
from pipeline_src.library.entries import BICUBIC, Entry
from pipeline_src.tables import Kind, Row, read_rows

Size = tuple[int, int]  # height and width of the LR image in pixels

COLUMNS: dict[str, Kind] = {
    "variant": str, "runtime": str, "scale": int, "set": str, "psnr_y": float | None, "settled": bool | None,
    "p50_ms": float | None, "lr_height": int | None, "lr_width": int | None, "runs": int | None,
    "file_bytes": int | None, "peak_memory_mb": float | None, "disagrees": str, "fails": str,
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """An exported file, with what was measured of it.

    Attributes:
        net: its name.
        variant: fp32, ptq or qat.
        runtime: one of ``FORMATS``, or a delegate of one such as ``tflite_gpu``.
        scale: upscaling factor.
        psnr_y: mean over the image sets, in dB.
        gain: by how much that is above bicubic, in dB.
        ms: median latency for the LR image of the wanted size.
        timed: height and width of the LR image that was timed; of another size ``ms`` is in proportion to its area.
        runs: calls that the latency rests on.
        kib: size of the file with all its parts.
        memory_mb: peak memory.
        file: the file that takes images of any size.
    """

    net: str
    variant: str
    runtime: str
    scale: int
    psnr_y: float
    gain: float
    ms: float
    timed: Size
    runs: int
    kib: float
    memory_mb: float
    file: Path


@dataclass(frozen=True)
class Budget:
    """What a file may take, and what it must reach; None does not limit.

    Attributes:
        ms: greatest median latency.
        kib: greatest size of the file.
        psnr_y: least mean PSNR Y.
        runtime: the one that there is.
        variant: fp32, ptq or qat.
    """

    ms: float | None = None
    kib: float | None = None
    psnr_y: float | None = None
    runtime: str | None = None
    variant: str | None = None

    def admits(self, candidate: Candidate, *, ms: bool = True) -> bool:
        """Return whether a file is within the budget, of time too or but for its time."""
        return (
            (self.kib is None or candidate.kib <= self.kib)
            and (self.psnr_y is None or candidate.psnr_y >= self.psnr_y)
            and self.runtime in (None, name_of(candidate.runtime))
            and self.variant in (None, candidate.variant)
            and (not ms or self.ms is None or candidate.ms <= self.ms)
        )


@dataclass(frozen=True)
class Choice:
    """The file to ship, and its neighbours on the front of those that no other is both faster and better than.

    Attributes:
        best: the best file within the budget.
        faster: the next one down the front; None if there is none.
        better: the next one up, beyond the budget's time; None if there is none.
    """

    best: Candidate
    faster: Candidate | None
    better: Candidate | None


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
    measured = [(entry, _rows(entry, device)) for entry in run.entries()]
    known = [*dict.fromkeys(row["set"] for _, rows in measured for row in rows)]
    if not known:
        raise UserError(f"{paths.results('benchmark')} holds no measurements; run `make report` in this folder first")
    if unknown := [name for name in chosen if name not in known]:
        raise UserError(f"this run has measured nothing on {unknown[0]}; choose one of {', '.join(known)} as --set")
    found = [
        candidate
        for entry, rows in measured
        if not entry.downscaler
        for candidate in _of_net(entry, rows, scale, size, chosen or known)
    ]
    if not found:
        scales = {row["scale"] for _, rows in measured for row in rows}
        has = ", ".join(f"×{known}" for known in SCALES if known in scales)
        raise UserError(f"this run has no file ×{scale} whose latency has settled; it has {has}")
    return found


def pick(files: Iterable[Candidate], budget: Budget) -> Choice:
    """Return the best file within a budget, and its neighbours on the front.

    Raises:
        UserError: if there is none; it says what the fastest that is left takes.
    """
    allowed = sorted(
        (file for file in files if budget.admits(file, ms=False)), key=lambda file: (file.ms, -file.psnr_y)
    )
    if not allowed:
        raise UserError("no file is within the budget, however long it takes; lower --min-psnr, or leave a limit out")
    front: list[Candidate] = []
    for file in allowed:
        if not front or file.psnr_y > front[-1].psnr_y:
            front.append(file)
    within = [file for file in front if budget.admits(file)]
    if not within:
        cheapest = front[0]
        raise UserError(
            f"no file takes {budget.ms:g} ms or less; the fastest, {named(cheapest)}, takes {cheapest.ms:.1f} ms and "
            f"reaches {cheapest.psnr_y:.2f} dB; raise --ms, or search smaller nets (docs/search.md)"
        )
    place = len(within) - 1
    beyond = front[place + 1 :]
    return Choice(within[-1], front[place - 1] if place else None, beyond[0] if beyond else None)


def named(candidate: Candidate) -> str:
    """Return what a file is called: its net, scale, variant and runtime."""
    return f"{candidate.net} ×{candidate.scale} {candidate.variant} {candidate.runtime}"


def machine(net: str, device: str = HERE) -> str:
    """Return the CPU and the threads that a net of this run was measured with on a device.

    Raises:
        UserError: if what the benchmark has written of it is missing or damaged.
    """
    stage, item = ("benchmark", net.partition("/")[0]) if device == HERE else ("measure", device)
    folder = paths.results("benchmark", net) if device == HERE else paths.measured(device)
    said = read_json(folder / "machine.json", dict[str, object], paths.remedy(stage, item))
    features = str(said.get("cpu_features", "")).split()
    int8 = "VNNI" if any("vnni" in feature for feature in features) else "no VNNI"
    return f"{said.get('cpu', 'unknown CPU')} ({int8}), {said.get('threads', '?')} threads"


def _rows(entry: Entry, device: str) -> list[Row]:
    file = paths.results("benchmark", entry.name) / "benchmark.csv"
    remedy = paths.remedy("benchmark", entry.name.partition("/")[0])
    if not file.is_file():
        return []
    if device == HERE:
        return read_rows(file, COLUMNS, remedy)
    here = [{"system": entry.name} | row for row in read_rows(file, COLUMNS | {"sha256": str}, remedy)]
    return [row for row in here if row["variant"] == BICUBIC] + [*with_quality(device, read_device(device), here)]


def _of_net(entry: Entry, rows: list[Row], scale: int, size: Size, chosen: Sequence[str]) -> list[Candidate]:
    of_file: dict[tuple[str, str], list[Row]] = defaultdict(list)
    bicubic: dict[str, float] = {}
    for row in rows:
        if row["scale"] != scale or row["set"] not in chosen or row["psnr_y"] is None:
            continue
        if row["variant"] == BICUBIC:
            bicubic[row["set"]] = row["psnr_y"]
        elif row["settled"] and row["p50_ms"] and not row["disagrees"] and not row["fails"]:
            of_file[row["variant"], row["runtime"]].append(row)
    return [
        _candidate(entry, of_sets, bicubic, size)
        for (_, runtime), of_sets in of_file.items()
        if name_of(runtime) and len(of_sets) == len(chosen) and {*chosen} <= bicubic.keys()
    ]


def _candidate(entry: Entry, rows: list[Row], bicubic: dict[str, float], size: Size) -> Candidate:
    row, psnr_y = rows[0], sum(row["psnr_y"] for row in rows) / len(rows)
    timed = row["lr_height"], row["lr_width"]
    file_format = FORMATS[name_of(row["runtime"])]
    return Candidate(
        net=entry.name,
        variant=row["variant"],
        runtime=row["runtime"],
        scale=row["scale"],
        psnr_y=psnr_y,
        gain=psnr_y - sum(bicubic[row["set"]] for row in rows) / len(rows),
        ms=row["p50_ms"] * size[0] * size[1] / (timed[0] * timed[1]),
        timed=timed,
        runs=row["runs"] or 0,
        kib=(row["file_bytes"] or 0) / 1024,
        memory_mb=row["peak_memory_mb"] or 0.0,
        file=run.exported_file(entry.name, row["variant"], file_format.SUFFIX, row["scale"]),
    )
