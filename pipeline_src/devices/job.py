"""What this machine asks of a board, and what the board answers, as JSON.

A board has this module in the program that is sent to it, with the standard library and NumPy alone.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from pipeline_src.benchmarking.latency import Latency

FILE = "job.json"


@dataclass(frozen=True)
class Item:
    """A file to measure; all names are relative to the folder on the device.

    Attributes:
        name: by which the answer names it.
        timed: the file that is timed.
        height: of the LR image that it is timed on, in pixels.
        width: of that image.
        file: the file of any size of the same net, which makes the reference image; "" for a file that only runs on
            random tensors, such as a block of a net.
        lr: the LR image of the reference, ``.npy``.
        reference: the image that ``file`` should make of it, ``.npy``.
    """

    name: str
    timed: str
    height: int
    width: int
    file: str = ""
    lr: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Job:
    """Measurements to make.

    Attributes:
        threads: number of threads of the runtimes, and of cores that the program is pinned to.
        limits: those of :func:`pipeline_src.benchmarking.latency.in_turns`.
        groups: the files that take turns with each other, group by group.
    """

    threads: int
    limits: dict[str, float]
    groups: list[list[Item]]

    def dumps(self) -> str:
        """Return the job as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Job":
        """Return the job of :meth:`dumps`."""
        fields: dict[str, Any] = json.loads(text)
        groups = [[Item(**item) for item in group] for group in fields["groups"]]
        return cls(fields["threads"], fields["limits"], groups)


@dataclass(frozen=True)
class Machine:
    """A device: its CPU and features, cores, memory, system, and the versions of what runs the files."""

    cpu: str
    cpu_features: str
    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]


@dataclass(frozen=True)
class State:
    """Temperature in °C and frequency of the CPU in MHz at one moment; None where the system shows none."""

    celsius: float | None = None
    mhz: float | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of one file.

    Attributes:
        name: of its :class:`Item`.
        fails: why it could not be measured, or "".
        total: latency from image to image; of a file without a reference that of the runtime alone.
        infer: the runtime's part of it.
        peak_memory_mb: growth of the memory of a process that loads the file and upscales one image, in MiB.
        agreement: cells of :meth:`pipeline_src.deployment.reference.Agreement.columns`; None if not compared.
        timed_by: how it was timed, if not by the rules of :mod:`pipeline_src.benchmarking.latency`.
        before: the state of the device before the turns of the file's group.
        after: its state when the file left the turns.
    """

    name: str
    fails: str = ""
    total: Latency | None = None
    infer: Latency | None = None
    peak_memory_mb: float | None = None
    agreement: dict[str, float | str] | None = None
    timed_by: str = ""
    before: State = State()
    after: State = State()


@dataclass(frozen=True)
class Answer:
    """One line that the program on a board prints; one of the fields is given."""

    machine: Machine | None = None
    measured: Measured | None = None
    refuses: str = ""
