"""The machines that a run was measured on, which need not be this one: results can come from a DVC remote."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_src import paths
from pipeline_src.benchmarking import cpu
from pipeline_src.config import HERE
from pipeline_src.files import read_json


@dataclass(frozen=True)
class Machine:
    """What a measurement says of the machine that it was made on.

    Attributes:
        cpu: its name.
        features: those of its features that decide how int8 and half floats are computed.
        cores: number; None where it was not recorded.
        threads: that the files ran on; None where it was not recorded.
    """

    cpu: str
    features: str
    cores: int | None
    threads: int | None

    def __str__(self) -> str:
        int8 = "VNNI" if "vnni" in self.features else "no VNNI"
        return f"{self.cpu} ({int8}), {self.threads or '?'} threads"

    @property
    def is_like_this_one(self) -> bool:
        """Whether this machine has the same CPU, with as many cores."""
        return (self.cpu, self.features, self.cores) == (cpu.model(), cpu.features(), os.cpu_count())


def read(net: str, device: str = HERE) -> Machine:
    """Return the machine that a net of this run was measured on, or the device.

    Raises:
        UserError: if what the benchmark has written of it is missing or damaged.
    """
    stage, item = ("benchmark", net.partition("/")[0]) if device == HERE else ("measure", device)
    folder = paths.results("benchmark", net) if device == HERE else paths.measured(device)
    said = read_json(folder / paths.MACHINE, dict[str, object], paths.remedy(stage, item))
    cores, threads = (value if isinstance(value, int) else None for value in (said.get("cores"), said.get("threads")))
    return Machine(str(said.get("cpu", "unknown CPU")), str(said.get("cpu_features", "")), cores, threads)


def not_this_one(nets: Sequence[str]) -> str:
    """Return what is to be said of nets that were measured on another CPU than that of this machine."""
    stages = dict.fromkeys(f"benchmark@{net.partition('/')[0]}" for net in nets)
    return "another CPU than that of this machine; to measure here: dvc repro --force --single-item " + " ".join(stages)
