"""Which file to ship within a budget of time, size and quality: the rule, apart from where the figures are read.

``superres pick`` and the report answer by it. The page follows it in JavaScript (``reporting/page/choose.js``); a
test compares the two in a browser.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_src.deployment.formats import FORMATS, name_of
from pipeline_src.errors import UserError
from pipeline_src.tables import Kind

Size = tuple[int, int]  # height and width of the LR image in pixels

# what is read of benchmark.csv
COLUMNS: dict[str, Kind] = {
    "variant": str, "runtime": str, "scale": int, "set": str, "psnr_y": float | None, "settled": bool | None,
    "p50_ms": float | None, "lr_height": int | None, "lr_width": int | None, "runs": int | None,
    "file_bytes": int | None, "peak_memory_mb": float | None, "off_levels": float | None,
    "disagrees": str, "fails": str,
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
        compared: whether its image on the device was compared with that of its net at export.
        left_out: why it takes no part in a choice; empty if it does.
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
    compared: bool
    left_out: str = ""

    @property
    def name(self) -> str:
        """What the file is called: its net, scale, variant and runtime."""
        return f"{self.net} ×{self.scale} {self.variant} {self.runtime}"

    @property
    def format(self) -> str:
        """The one of ``FORMATS`` that the runtime runs."""
        return name_of(self.runtime)

    @property
    def file(self) -> str:
        """The name of the file that takes images of any size, in the folder of the exported net."""
        return f"{self.variant}_x{self.scale}{FORMATS[self.format].SUFFIX}"


@dataclass(frozen=True)
class Budget:
    """What a file may take, and what it must reach; None does not limit.

    Attributes:
        ms: greatest median latency.
        kib: greatest size of the file.
        psnr_y: least mean PSNR Y.
        runtime: one of ``FORMATS``, whatever runs it.
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
            and self.runtime in (None, candidate.format)
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


def candidates(
    net: str, rows: Iterable[Mapping[str, Any]], scale: int, size: Size, sets: Sequence[str]
) -> list[Candidate]:
    """Return the exported files of a net that were timed.

    Those whose latency has not settled, and those that give another image than at export, are ``left_out``.

    Args:
        net: its name.
        rows: those of its ``benchmark.csv``, with :data:`COLUMNS`; the bicubic rows are among them.
        scale: upscaling factor.
        size: of the LR image that latencies are for.
        sets: image sets that the quality is the mean over; a file that was not measured on all of them is no candidate.
    """
    of_file: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    bicubic: dict[str, float] = {}
    for row in rows:
        if row["scale"] != scale or row["set"] not in sets or row["psnr_y"] is None:
            continue
        if row["variant"] == "bicubic":
            bicubic[row["set"]] = row["psnr_y"]
        elif row["p50_ms"] and name_of(row["runtime"]) and not row["fails"]:
            of_file[row["variant"], row["runtime"]].append(row)
    if not {*sets} <= bicubic.keys():
        return []
    level = sum(bicubic[name] for name in sets) / len(sets)
    return [_candidate(net, scale, of_sets, level, size) for of_sets in of_file.values() if len(of_sets) == len(sets)]


def _candidate(net: str, scale: int, rows: list[Mapping[str, Any]], bicubic: float, size: Size) -> Candidate:
    row, psnr_y = rows[0], sum(row["psnr_y"] for row in rows) / len(rows)
    timed = int(row["lr_height"]), int(row["lr_width"])
    return Candidate(
        net=net,
        variant=row["variant"],
        runtime=row["runtime"],
        scale=scale,
        psnr_y=psnr_y,
        gain=psnr_y - bicubic,
        ms=row["p50_ms"] * size[0] * size[1] / (timed[0] * timed[1]),
        timed=timed,
        runs=int(row["runs"] or 0),
        kib=(row["file_bytes"] or 0) / 1024,
        memory_mb=row["peak_memory_mb"] or 0.0,
        compared=row["off_levels"] is not None,
        left_out=_left_out(row),
    )


def _left_out(row: Mapping[str, Any]) -> str:
    if row["disagrees"]:
        return "gives another image than at export"
    return "" if row["settled"] else "its latency has not settled"


def front(files: Iterable[Candidate]) -> list[Candidate]:
    """Return the files that no other is both faster and better than, the fastest first.

    Of files with the same latency and quality the smallest stands for all, and the first by name of those.
    """
    best: list[Candidate] = []
    for file in sorted(files, key=lambda file: (file.ms, -file.psnr_y, file.kib, file.name)):
        if not best or file.psnr_y > best[-1].psnr_y:
            best.append(file)
    return best


def pick(files: Iterable[Candidate], budget: Budget) -> Choice:
    """Return the best file within a budget, and its neighbours on the front; those that are left out take no part.

    Raises:
        UserError: if there is none; it says what the fastest that is left takes.
    """
    allowed = front(file for file in files if not file.left_out and budget.admits(file, ms=False))
    if not allowed:
        raise UserError("no file is within the budget, however long it takes; lower --min-psnr, or leave a limit out")
    within = [file for file in allowed if budget.admits(file)]
    if not within:
        cheapest = allowed[0]
        raise UserError(
            f"no file takes {budget.ms:g} ms or less; the fastest, {cheapest.name}, takes {cheapest.ms:.1f} ms and "
            f"reaches {cheapest.psnr_y:.2f} dB; raise --ms, or search smaller nets (docs/search.md)"
        )
    place = len(within) - 1
    beyond = allowed[place + 1 :]
    return Choice(within[-1], allowed[place - 1] if place else None, beyond[0] if beyond else None)
