"""The latency table: the measured latency of each block of a space on a device, and of a subnet as their sum."""

import itertools
import logging
import random
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline_src.benchmarking import machine
from pipeline_src.benchmarking.latency import Latency, in_turns, pinned, timed
from pipeline_src.config import LatencyTable, PinnedFile, Search
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.devices.kept import Kept
from pipeline_src.devices.measuring import time_files
from pipeline_src.devices.ssh import Board
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, whole_folder
from pipeline_src.graph.operations import repeats_as_convolutions
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.models.once_for_all.supernet import Supernet
from pipeline_src.searching.blocks import block_graph
from pipeline_src.tables import Kind, read_table, write_table

BLOCK = [field.name for field in fields(Block)]
TABLE: dict[str, Kind] = {
    "kind": str, **dict.fromkeys(BLOCK[1:], int), "runtime": str, "precision": str,
    "height": int, "width": int, "threads": int, "ms": float, "cpu": str, "versions": str,
}  # fmt: skip
# The measurement that ``ms`` comes from, before conversions are subtracted; a table of another program may lack it.
TIMED: dict[str, Kind] = {
    "runs": int, "p50_ms": float, "p50_low_ms": float | None, "p50_high_ms": float | None, "settled": bool,
}  # fmt: skip
CHECKED: dict[str, Kind] = {
    **dict.fromkeys(("runtime", "precision", "subnet"), str), **dict.fromkeys(("ms", "by_table", "error"), float),
}  # fmt: skip
COLUMNS, MEASUREMENT, CHECK = [*TABLE], [*TIMED], [*CHECKED, *TIMED]
IMAGE_CHANNELS = 3

Blocks = tuple[Block, ...]  # that run one after the other
Device = tuple[str, str]  # runtime and precision

log = logging.getLogger(__name__)


class Table:
    """The latency of blocks in milliseconds, by runtime and precision.

    Args:
        rows: a table with :data:`COLUMNS`.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._ms: dict[Device, dict[Block, float]] = {}
        for row in rows.to_dict("records"):
            blocks = self._ms.setdefault((row["runtime"], row["precision"]), {})
            blocks[Block(**{name: row[name] for name in BLOCK})] = row["ms"]

    @property
    def devices(self) -> list[Device]:
        """The measured pairs of runtime and precision, in the order of the table."""
        return list(self._ms)

    def ms(self, blocks: Sequence[Block], device: Device) -> float:
        """Return the latency of a subnet in milliseconds: the sum over its blocks.

        Raises:
            UserError: if the table lacks a block.
        """
        ms_by_block = self._ms.get(device, {})
        if missing := [block for block in blocks if block not in ms_by_block]:
            raise UserError(
                f"the latency table has no {missing[0]} in {' '.join(device)}; measure it again for this net"
            )
        return sum(ms_by_block[block] for block in blocks)


def latency_table(
    supernet: Supernet, spec: Search, folder: Path, board: Board | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the latency table of a supernet, or read the one that ``spec`` names.

    Args:
        supernet: whose blocks are measured.
        spec: the section of params.yaml.
        folder: keeps a measured table, so that a search that was stopped goes on with the same latencies.
        board: where it is measured; None for this machine.

    Returns:
        The table, with :data:`COLUMNS` and, where they were measured or read, :data:`MEASUREMENT`; and the comparison
        of its sums with complete subnets, with :data:`CHECK`, which is empty for a table that was read.
    """
    if spec.latency.table:
        return read(spec.latency.table, spec.latency), pd.DataFrame(columns=CHECK)
    names = ("latency.csv", "check.csv")
    if not folder.exists():
        with whole_folder(folder) as unfinished:
            for name, rows in zip(names, _measure_supernet(supernet, spec, board), strict=True):
                write_table(unfinished / name, rows)
    kinds, remedy = (TABLE | TIMED, CHECKED | TIMED), f"delete {folder}"
    table, checks = (read_table(folder / name, kind, remedy) for name, kind in zip(names, kinds, strict=True))
    return table, checks


def _measure_supernet(supernet: Supernet, spec: Search, board: Board | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    generator = random.Random(0)  # noqa: S311
    sampled = [supernet.sample_subnet(generator, scale) for scale in spec.scales for _ in range(spec.latency.check)]
    subnets = {" ".join(map(str, subnet.values())): tuple(supernet.blocks(subnet)) for subnet in sampled}
    with TemporaryDirectory() as folder:
        return measure(supernet.all_blocks(), subnets, spec.latency, Path(folder), board)


def measure(
    blocks: Sequence[Block], subnets: dict[str, Blocks], spec: LatencyTable, folder: Path, board: Board | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure blocks, and complete subnets for comparison, in each runtime and precision of ``spec``.

    Within a net, features keep the memory layout that a runtime prefers. A block by itself has to convert them at both
    ends, which in OpenVINO takes as long as a convolution. The time of both conversions is twice the latency of one
    convolution less that of two, and half of it is subtracted for each end of a block that is not an image.

    Args:
        blocks: the blocks to measure.
        subnets: the blocks of complete subnets, by name.
        spec: runtimes, precisions, size, threads and runs.
        folder: for temporary files.
        board: where they are measured; None for this machine.

    Returns:
        The table, with :data:`COLUMNS` and :data:`MEASUREMENT`, and the comparison of its sums with the subnets, with
        :data:`CHECK`. A block is settled if the conversions subtracted from it are, too.
    """
    conditions = {"threads": spec.threads, "height": spec.size[0], "width": spec.size[1]}
    channels = sorted({count for block in blocks for count in _feature_channels(block)})
    convolutions = {count: [(Block("conv", count, count),) * times for times in (1, 2)] for count in channels}
    networks: list[Blocks] = list(
        dict.fromkeys([*((block,) for block in blocks), *itertools.chain(*convolutions.values()), *subnets.values()])
    )
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for precision, runtime in itertools.product(spec.precisions, spec.runtimes):
        timings, machine_there = _measure_in_turns(networks, runtime, precision == "int8", spec, folder, board)
        latencies = {network: timing.p50_ms for network, timing in timings.items()}
        conversions = {
            count: max(0.0, 2 * latencies[one] - latencies[two]) for count, (one, two) in convolutions.items()
        }
        device = {"runtime": runtime, "precision": precision}
        for block in blocks:
            converting = sum(conversions[count] for count in _feature_channels(block)) / 2
            measurement = _measurement(timings[block,])
            subtracted = [timings[network] for count in _feature_channels(block) for network in convolutions[count]]
            measurement["settled"] &= all(timing.settled for timing in subtracted)
            ms = {"ms": max(0.0, latencies[block,] - converting)}
            rows.append(asdict(block) | device | conditions | machine_there | ms | measurement)
        table = Table(pd.DataFrame(rows))
        for name, subnet in subnets.items():
            by_table = table.ms(subnet, (runtime, precision))
            sums = {
                "subnet": name,
                "ms": latencies[subnet],
                "by_table": by_table,
                "error": by_table / latencies[subnet] - 1,
            }
            checks.append(device | sums | _measurement(timings[subnet]))
    return pd.DataFrame(rows)[[*COLUMNS, *MEASUREMENT]], pd.DataFrame(checks, columns=CHECK)


def read(table: PinnedFile, spec: LatencyTable) -> pd.DataFrame:
    """Read a latency table that was measured before, on this device or another one.

    Warns on stderr if the table was measured on another CPU.

    Args:
        table: the file and its SHA-256.
        spec: the size of the LR images that the table has to be of.

    Returns:
        The table, with :data:`COLUMNS`, and those of :data:`MEASUREMENT` that it has.

    Raises:
        UserError: if the file is missing, a different one, not a latency table, or for another image size.
    """
    path = Path(table.file)
    rows = read_table(path, TABLE | TIMED, "correct latency.table", may_lack=TIMED)
    if not (digest := sha256(path)).startswith(table.sha256):
        raise UserError(
            f"{path} has the SHA-256 {digest[:12]}…, not latency.table's {table.sha256}; correct one of them"
        )
    sizes = {*zip(rows["height"], rows["width"], strict=True)}
    if sizes != {tuple(spec.size)}:
        raise UserError(f"{path} is of images of {sorted(sizes)}, but latency.size is {spec.size}; correct one of them")
    this_cpu, table_cpu = _machine(spec.threads)["cpu"], rows["cpu"].iloc[0]
    if this_cpu != table_cpu:
        log.warning("the latency table %s was measured on %s, and this is %s", path, table_cpu, this_cpu)
    return rows[[*COLUMNS, *(column for column in MEASUREMENT if column in rows)]]


def median_error(checks: pd.DataFrame) -> dict[str, float]:
    """Return the median of the table's absolute relative errors, by runtime and precision (``tflite int8``).

    Subnets whose own latency has not settled are left out, and so is a pair that has no other.
    """
    checks = checks[checks["settled"].astype(bool)]
    groups = checks.assign(error=checks["error"].astype(float).abs()).groupby(["runtime", "precision"])
    return {f"{runtime} {precision}": float(rows["error"].median()) for (runtime, precision), rows in groups}


def _feature_channels(block: Block) -> list[int]:
    """Return the channels of each input and output of a block that is not an image."""
    inputs = [block.inputs] * (2 if block.kind == "tail" else 1)  # the tail also takes the long skip
    outputs = [] if block.kind in ("anchor", "tail") else [block.outputs]
    return [channels for channels in inputs + outputs if channels != IMAGE_CHANNELS]


def _measurement(timing: Latency) -> dict[str, Any]:
    """Return the cells of :data:`MEASUREMENT`."""
    return {name: getattr(timing, name) for name in MEASUREMENT}


def _machine(threads: int) -> dict[str, str]:
    description: Any = machine.describe(threads)
    return _described(description["cpu"], description["versions"])


def _described(cpu: str, versions: dict[str, str]) -> dict[str, str]:
    return {"cpu": cpu, "versions": " ".join(f"{name} {version}" for name, version in versions.items())}


def _measure_in_turns(
    networks: list[Blocks], runtime: str, int8: bool, spec: LatencyTable, folder: Path, board: Board | None
) -> tuple[dict[Blocks, Latency], dict[str, str]]:
    """Return the latency of each network, and the columns that name the machine it was measured on."""
    file_format = FORMATS[runtime]
    files, size = {}, (spec.size[0], spec.size[1])
    for number, blocks in enumerate(networks):
        files[str(number)] = folder / f"{number}{file_format.SUFFIX}"
        file_format.write(repeats_as_convolutions(block_graph(blocks, int8)), files[str(number)], size)
    limits: dict[str, Any] = spec.model_dump(include={"warmup", "runs", "interval", "max_seconds"}) | {"min_seconds": 0}
    if board:
        kept = Kept(board.name, "search")
        there, timings = time_files(board, files, size, spec.threads, limits, kept)
        kept.clear()
        described = _described(there.cpu, there.versions)
    else:
        with pinned(spec.threads):
            calls = {name: timed(file_format.raw_call(file, size, spec.threads)) for name, file in files.items()}
            timings = {name: parts["ms"] for name, parts in in_turns(calls, **limits).items()}
        described = _machine(spec.threads)
    return {blocks: timings[str(number)] for number, blocks in enumerate(networks)}, described
