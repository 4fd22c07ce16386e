"""Costs of exported files: latency at one LR size, file size and peak memory."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeline_src import config
from pipeline_src.benchmarking.keys import KEY_COLUMNS, FileKey, Row
from pipeline_src.benchmarking.latency import Latency, in_turns, upscaling_call
from pipeline_src.benchmarking.memory import peak_memory_mb
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card

LATENCY_COLUMNS = [field.name for field in fields(Latency)]
SWEEP_COLUMNS = [*KEY_COLUMNS, "lr_height", "lr_width", "threads", *LATENCY_COLUMNS]  # of threads.csv


@dataclass(frozen=True)
class Costs:
    """The columns of ``benchmark.csv`` that :func:`measure_costs` fills, in their order.

    Latencies are in milliseconds per image, from uint8 image to uint8 image; ``infer_`` is the runtime's share of them.
    The fields of each are those of :class:`~pipeline_src.benchmarking.latency.Latency`, from the same calls.
    ``sha256`` is of the file that was timed, ``file_bytes`` counts all parts of it, ``peak_memory_mb`` is in MiB, and
    ``mult_adds`` are for a 1280×720 HR image. ``weights`` says where the weights come from, and ``dtype`` the data type
    of the training.
    """

    lr_height: int
    lr_width: int
    threads: int
    runs: int
    p50_ms: float
    p90_ms: float
    iqr_ms: float
    p50_low_ms: float
    p50_high_ms: float
    settled: bool
    infer_p50_ms: float
    infer_p90_ms: float
    infer_iqr_ms: float
    infer_p50_low_ms: float
    infer_p50_high_ms: float
    infer_settled: bool
    file: str
    sha256: str
    file_bytes: int
    peak_memory_mb: float
    params: int
    mult_adds: int
    weights: str
    dtype: str


def measure_costs(files: dict[Path, Card], spec: config.Benchmark) -> Iterator[Row]:
    """Yield one row per net, variant, format and scale: its key and its :class:`Costs`.

    If a format has a file of fixed size, this one is measured, while quality is measured on the file of any size. All
    files of one scale are in memory together and take turns at the same LR size.
    """
    for timed, (height, width) in timed_files(files):
        latency = in_turns(
            {str(file): upscaling_call(runtimes.load(file, spec.threads), height, width) for file in timed},
            **limits(spec),
        )
        memory = peak_memory_mb(timed, height, width, spec.threads)
        for file, card in timed.items():
            costs = _costs(file, card, latency[str(file)], (height, width), spec.threads, memory[file])
            yield FileKey.of(card).columns() | asdict(costs)


def sweep_threads(files: dict[Path, Card], spec: config.Benchmark) -> Iterator[Row]:
    """Yield one row of :data:`SWEEP_COLUMNS` per file and number of threads in ``spec.sweep``."""
    if not spec.sweep:
        return
    for timed, (height, width) in timed_files(files):
        settings = [(file, threads) for file in timed for threads in spec.sweep]
        calls = {
            f"{file} {threads}": upscaling_call(runtimes.load(file, threads), height, width)
            for file, threads in settings
        }
        latency = in_turns(calls, **limits(spec))
        for file, threads in settings:
            setting = {"lr_height": height, "lr_width": width, "threads": threads}
            yield FileKey.of(timed[file]).columns() | setting | asdict(latency[f"{file} {threads}"]["total"])


def timed_files(files: dict[Path, Card]) -> Iterator[tuple[dict[Path, Card], tuple[int, int]]]:
    """Yield the files to time of each scale, and the LR height and width, which are those of the fixed-size files."""
    fixed = {FileKey.of(card) for card in files.values() if card.size}
    for scale in sorted({card.scale for card in files.values()}):
        of_scale = {file: card for file, card in files.items() if card.scale == scale}
        height, width = next(card.size for card in of_scale.values() if card.size)
        timed = {file: card for file, card in of_scale.items() if card.size or FileKey.of(card) not in fixed}
        yield timed, (height, width)


def limits(spec: config.Benchmark) -> dict[str, Any]:
    """Return the limits of :func:`~pipeline_src.benchmarking.latency.in_turns`."""
    return spec.model_dump(include={"warmup", "runs", "interval", "min_seconds", "max_seconds"})


def _costs(
    file: Path, card: Card, latency: dict[str, Latency], lr_size: tuple[int, int], threads: int, memory_mb: float
) -> Costs:
    infer = {f"infer_{name}": value for name, value in asdict(latency["infer"]).items() if name != "runs"}
    return Costs(
        **asdict(latency["total"]),
        **infer,
        lr_height=lr_size[0],
        lr_width=lr_size[1],
        threads=threads,
        file=file.name,
        sha256=card.files[file.name],
        file_bytes=sum(file.with_name(part).stat().st_size for part in card.files),
        peak_memory_mb=memory_mb,
        params=card.parameters,
        mult_adds=card.mult_adds,
        weights=card.origin,
        dtype=card.dtype,
    )
