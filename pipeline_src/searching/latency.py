"""The latency table: what each block of a space costs on a device, and what a subnet costs by it."""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_src.benchmarking import machine
from pipeline_src.benchmarking.latency import in_turns, pinned, timed
from pipeline_src.config import LatencyTable, PinnedFile
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.graph.operations import repeats_as_convolutions
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching.blocks import chain

BLOCK = [field.name for field in fields(Block)]
COLUMNS = [*BLOCK, "runtime", "precision", "height", "width", "threads", "ms", "cpu", "versions"]
CHECK = ["runtime", "precision", "subnet", "ms", "by_table", "error"]
IMAGE = 3  # channels

Chain = tuple[Block, ...]
Device = tuple[str, str]  # runtime and precision


class Table:
    """Milliseconds of blocks, per runtime and precision."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._ms: dict[Device, dict[Block, float]] = {}
        for row in rows.to_dict("records"):
            of_device = self._ms.setdefault((row["runtime"], row["precision"]), {})
            of_device[Block(**{name: row[name] for name in BLOCK})] = row["ms"]

    @property
    def devices(self) -> list[Device]:
        """What was measured, in the order of the table."""
        return list(self._ms)

    def ms(self, blocks: Sequence[Block], device: Device) -> float:
        """Milliseconds of a subnet: the sum of its blocks. UserError if the table lacks one of them."""
        of_device = self._ms.get(device, {})
        if missing := [block for block in blocks if block not in of_device]:
            raise UserError(
                f"the latency table has no {missing[0]} in {' '.join(device)}; measure it anew for this net"
            )
        return sum(of_device[block] for block in blocks)


def measure(blocks: Sequence[Block], whole: dict[str, Chain], spec: LatencyTable, folder: Path) -> tuple[Any, Any]:
    """Time every block by itself and ``whole`` subnets beside them, in turns; the table, and the check of its sums.

    A block by itself has borders that it has not within a net, where features stay in the layout that a runtime has
    chosen for them; OpenVINO takes as long for these as for a convolution. What they cost, for features of so many
    channels, is what two convolutions take less than twice one, and each block is given half of it back for each of
    its sides that is none of the image. ``folder`` is for the files. The check has a row for each whole subnet.
    """
    here = {"threads": spec.threads, "height": spec.size[0], "width": spec.size[1], **_machine(spec.threads)}
    rows, checks = [], []
    features = {side for block in blocks for side in _sides(block)}
    borders = {c: [(Block("conv", c, c),) * times for times in (1, 2)] for c in sorted(features)}
    chains = dict.fromkeys([(block,) for block in blocks] + [*itertools.chain(*borders.values())] + [*whole.values()])
    for precision, runtime in itertools.product(spec.precisions, spec.runtimes):
        with pinned(spec.threads):
            took = _timed(list(chains), runtime, precision == "int8", spec, folder)
        of_border = {c: max(0.0, 2 * took[once] - took[twice]) for c, (once, twice) in borders.items()}
        device = {"runtime": runtime, "precision": precision}
        for block in blocks:
            saved = sum(of_border[side] for side in _sides(block)) / 2
            rows.append(asdict(block) | device | here | {"ms": max(0.0, took[block,] - saved)})
        table = Table(pd.DataFrame(rows))
        for name, net in whole.items():
            by_table = table.ms(net, (runtime, precision))
            checks.append(device | {"subnet": name, "ms": took[net], "by_table": by_table})
    return pd.DataFrame(rows)[COLUMNS], pd.DataFrame(checks).assign(error=lambda c: c["by_table"] / c["ms"] - 1)


def read(table: PinnedFile, spec: LatencyTable) -> pd.DataFrame:
    """A table measured before, on this device or another, for LR images of the size of ``spec``.

    UserError if it is none, another file or of another size; a word on stderr if it is of other hardware than this.
    """
    path = Path(table.file)
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no latency table ({error}); correct latency.table") from None
    if not (found := sha256(path)).startswith(table.sha256):
        raise UserError(
            f"{path} has the SHA-256 {found[:12]}…, not latency.table's {table.sha256}; correct one of them"
        )
    if missing := [column for column in COLUMNS if column not in rows]:
        raise UserError(f"{path} is no latency table: it lacks the column {missing[0]}; correct latency.table")
    sizes = {*zip(rows["height"], rows["width"], strict=True)}
    if sizes != {tuple(spec.size)}:
        raise UserError(f"{path} is of images of {sorted(sizes)}, but latency.size is {spec.size}; correct one of them")
    here, there = _machine(spec.threads)["cpu"], rows["cpu"].iloc[0]
    if here != there:
        print(f"the latency table {path} was measured on {there}, and this is {here}", file=sys.stderr)
    return rows[COLUMNS]


def _sides(block: Block) -> list[int]:
    """Channels of the features that go in and out of a block, but for images."""
    into = [block.inputs] * (2 if block.kind == "tail" else 1)  # with the long skip
    out = [] if block.kind in ("anchor", "tail") else [block.outputs]
    return [side for side in into + out if side != IMAGE]


def _machine(threads: int) -> dict[str, str]:
    described: Any = machine.describe(threads)
    versions = " ".join(f"{name} {version}" for name, version in described["versions"].items())
    return {"cpu": described["cpu"], "versions": versions}


def _timed(chains: list[Chain], runtime: str, int8: bool, spec: LatencyTable, folder: Path) -> dict[Chain, float]:
    calls, size = {}, (spec.size[0], spec.size[1])
    for number, blocks in enumerate(chains):
        file = folder / f"{number}{FORMATS[runtime].SUFFIX}"
        FORMATS[runtime].write(repeats_as_convolutions(chain(blocks, int8)), file, size)
        calls[str(number)] = timed(FORMATS[runtime].raw_call(file, size, spec.threads))
    limits: dict[str, Any] = spec.model_dump(include={"warmup", "runs", "max_seconds"})
    took = in_turns(calls, min_seconds=0, **limits)
    return {blocks: took[str(number)]["ms"].p50_ms for number, blocks in enumerate(chains)}
