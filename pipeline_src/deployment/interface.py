"""What a file format has to offer, and the types in which formats and the rest of the pipeline speak.

A format is a module in :mod:`pipeline_src.deployment.formats` that has all that :class:`Format` names, and an entry in
``FORMATS`` there. Nothing else in the pipeline knows one format from another.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.errors import UserError
from pipeline_src.graph.operations import OperationGraph

Size = tuple[int, int]  # height and width
TRIAL_SIZE: Size = (24, 32)
SMALLEST = 8  # pixels a side of the smallest image that the nets take


@dataclass(frozen=True)
class ModelFile:
    """A file of a super-resolution net.

    Attributes:
        path: where it lies.
        tensors: the image at either end; input and output are alike.
        size: height and width of the LR image if the file takes that size alone, None if it takes any.
    """

    path: Path
    tensors: TensorSpec
    size: Size | None = None


@dataclass(frozen=True)
class Operator:
    """One operator of a file: its name, and the sorted dtypes of its activations and of its constants."""

    name: str
    activations: tuple[str, ...]
    constants: tuple[str, ...]

    @classmethod
    def of(cls, name: str, activations: Iterable[str], constants: Iterable[str]) -> "Operator":
        """Return an operator by the dtypes of its tensors, in any order and number."""
        return cls(name, tuple(sorted({*activations})), tuple(sorted({*constants})))


@dataclass(frozen=True)
class Runner:
    """An upscaler of RGB images: uint8 H×W×3 to uint8 sH×sW×3. For a grey image, stack it to three channels.

    An image smaller than the nets take is mirrored to that size first.

    Attributes:
        scale: how many times it upscales.
        to_input: makes the input tensor of an image.
        infer: the runtime's own call on that tensor; its result is valid until the next call.
        to_output: makes an image of the result, which is the caller's to keep.
    """

    scale: int
    to_input: Callable[[np.ndarray], Any]
    infer: Callable[[Any], Any]
    to_output: Callable[[Any], np.ndarray]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return SR, uint8 sH×sW×3, of an LR image, uint8 H×W×3."""
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST:
            missing = [(0, max(0, SMALLEST - side)) for side in (height, width)]
            image = np.pad(image, [*missing, (0, 0)], "symmetric")
        sr = self.to_output(self.infer(self.to_input(image)))
        return sr[: height * self.scale, : width * self.scale]


def cannot_open(file: Path, runtime: str, error: Exception) -> UserError:
    """Return the error of a file that its runtime refuses."""
    return UserError(f"{runtime} cannot open {file} ({in_short(error)}); export it again")


def in_short(error: Exception) -> str:
    """Return the message of a runtime's exception in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


class Format(Protocol):
    """A file format together with the runtime that runs it; modules satisfy it.

    They import their libraries, and ``pixels`` with numba, inside functions: every command imports all formats, to name
    them in its ``--help``.

    Attributes:
        LABEL: the name that readers know, for tables and figures.
        SUFFIX: end of the name of a file that takes images of any size: ``<variant>_x<scale><SUFFIX>``.
        LIBRARIES: distributions that make the file; their versions go on its card.
        RUNTIME: distribution that runs the file; its version is noted beside every measurement.
    """

    LABEL: str
    SUFFIX: str
    LIBRARIES: tuple[str, ...]
    RUNTIME: str

    def export(self, net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
        """Write the files of a super-resolution net into a folder.

        Args:
            net: float or int8, from ``lr`` to ``sr``.
            folder: exists.
            stem: beginning of the files' names.
            size: height and width of the LR image for a file of one size, if the format has such a file.

        Returns:
            The files written; none if the format does not serve nets of this kind.
        """

    def write(self, net: OperationGraph, file: Path, size: Size | None = None) -> None:
        """Write any net of operations, with whatever inputs and outputs, to one file.

        Args:
            net: written as it is.
            file: its name ends in ``SUFFIX``.
            size: height and width of the only input the file has to take; None for any. A format whose files take
                any size may ignore it.
        """

    def parts(self, file: Path) -> list[Path]:
        """Return all the files that a model consists of, ``file`` first."""

    def load(self, file: Path, card: Card, threads: int) -> Runner:
        """Open a super-resolution net on the CPU.

        Raises:
            UserError: if the runtime refuses the file.
        """

    def import_runtime(self) -> None:
        """Import all that :meth:`load` needs, so that its memory is not taken for that of a model."""

    def raw_call(self, file: Path, size: Size, threads: int) -> Callable[[], object]:
        """Return the runtime's own call of a file that :meth:`write` made for this size, to be timed.

        The file may have any inputs; they are random.
        """

    def operators(self, file: Path) -> Iterator[Operator]:
        """Yield the operators of a file in the order they run."""

    def try_out(self, files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
        """Return the files that this machine cannot run, and why.

        For a runtime that can crash and take the calling process with it; others return {} and raise in :meth:`load`.
        """

    def example(self, model: ModelFile, largest_sum: int) -> str:
        """Return a Python program that upscales ``photo.png`` to ``large.png`` with a file beside it.

        Args:
            model: the file.
            largest_sum: of the card (``graph.saturation.largest_sum``).
        """
