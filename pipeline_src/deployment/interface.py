"""The interface of file formats, and the types that they share with the rest of the pipeline.

A format is a module in :mod:`pipeline_src.deployment.formats` with all members of :class:`Format`, and an entry in
``FORMATS`` there. No other code in the pipeline distinguishes formats.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline_src.deployment import cards
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.errors import UserError, is_out_of_memory
from pipeline_src.files import is_of_the_system, require_open_files
from pipeline_src.graph.operations import OperationGraph

Size = tuple[int, int]  # height and width
TRIAL_SIZE: Size = (24, 36)  # of an image whose sides a downscaler by 2, 3 or 4 takes too
VARIANTS = ("fp32", "ptq", "qat")  # of a net
CPU = "cpu"  # the device that every runtime has
OPEN_FILES = 4  # more than a runtime opens for a net
SMALLEST = 8  # height and width in pixels of the smallest image that all nets accept


@dataclass(frozen=True)
class ModelFile:
    """A file of a net of images.

    Attributes:
        path: of the file.
        tensors: dtype and layout of the input, and likewise of the output.
        size: height and width of the input image if the file accepts only one size, None if it accepts any.
        ends: names of the input and the output: lr and sr, or hr and lr of a downscaler.
        multiple: pixels of which the sides of the input image must be multiples.
    """

    path: Path
    tensors: TensorSpec
    size: Size | None
    ends: tuple[str, str]
    multiple: int

    @classmethod
    def of(cls, net: OperationGraph, path: Path, tensors: TensorSpec, size: Size | None) -> "ModelFile":
        """Return the file to which a net was written."""
        (taken,), (given,) = net.inputs, net.outputs
        return cls(path, tensors, size, (taken, given), net.multiple)


@dataclass(frozen=True)
class Operator:
    """One operator of a file: its name, and the sorted dtypes of its activations and of its constants."""

    name: str
    activations: tuple[str, ...]
    constants: tuple[str, ...]

    @classmethod
    def of(cls, name: str, activations: Iterable[str], constants: Iterable[str]) -> "Operator":
        """Return an operator from the dtypes of its tensors, in any order and with repetitions."""
        return cls(name, tuple(sorted({*activations})), tuple(sorted({*constants})))


@dataclass(frozen=True)
class Runner:
    """An upscaler of RGB images, from uint8 H×W×3 to uint8 sH×sW×3; or a downscaler, to uint8 ⌈H/s⌉×⌈W/s⌉×3.

    Attributes:
        scale: the factor s.
        to_input: converts an image to the input tensor.
        infer: runs the runtime on that tensor; its result is valid until the next call.
        to_output: converts the result to an image, a copy that stays valid.
        to_values: converts the result to float32 of the same shape without rounding it.
        size: height and width of the input image if the file accepts only one size, None if it accepts any.
        file: the file whose card says ``scale``; None for what is no file.
        downscales: whether the image gets smaller by the factor.
        multiple: pixels of which the sides of the input image must be multiples.
    """

    scale: int
    to_input: Callable[[np.ndarray], Any]
    infer: Callable[[Any], Any]
    to_output: Callable[[Any], np.ndarray]
    to_values: Callable[[Any], np.ndarray]
    size: Size | None = None
    file: Path | None = None
    downscales: bool = False
    multiple: int = 1

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Resize an image; one of a size that the file does not accept is first mirrored to one that it does.

        Args:
            image: uint8 H×W×3. Stack a grey image to three channels.

        Returns:
            uint8 sH×sW×3, or ⌈H/s⌉×⌈W/s⌉×3 of a downscaler.

        Raises:
            UserError: if the file gives an image of another size than its card says.
        """
        return self._resized(image, self.to_output)

    def values(self, image: np.ndarray) -> np.ndarray:
        """Resize an image as :meth:`__call__` does, without rounding: float32 in 0..255.

        The values of an int8 file are whole numbers, because its output is rounded inside the file.
        """
        return self._resized(image, self.to_values)

    def _resized(self, image: np.ndarray, convert: Callable[[Any], np.ndarray]) -> np.ndarray:
        padded = self._padded(image)
        resized = convert(self.infer(self.to_input(padded)))
        if self.file and resized.shape != (*self._sides_of(padded), 3):
            given, taken = (" × ".join(map(str, shape)) for shape in (resized.shape, padded.shape[:2]))
            factor = f"1/{self.scale}" if self.downscales else f"×{self.scale}"
            raise UserError(
                f"{self.file} makes an array of {given} of an image of {taken}, and its card "
                f"{cards.path_of(self.file).name} says {factor}; export it again"
            )
        height, width = self._sides_of(image)
        return resized[:height, :width]

    def _sides_of(self, image: np.ndarray) -> Size:
        """Return height and width of the output for an image."""
        height, width = image.shape[:2]
        if self.downscales:
            return -(-height // self.scale), -(-width // self.scale)
        return height * self.scale, width * self.scale

    def _padded(self, image: np.ndarray) -> np.ndarray:
        least = self.size or (SMALLEST, SMALLEST)
        sides = [max(*sides) for sides in zip(least, image.shape[:2], strict=True)]
        missing = [(0, side + -side % self.multiple - now) for side, now in zip(sides, image.shape[:2], strict=True)]
        return np.pad(image, [*missing, (0, 0)], "symmetric") if any(after for _, after in missing) else image


@contextmanager
def opening(file: Path, runtime: str, how: str = "", advice: str = "export it again") -> Iterator[None]:
    """Turn what a runtime raises when it opens a file, of no common base class, into an error that a user understands.

    Args:
        file: the file.
        runtime: its name.
        how: the mode in which it opens the file, for the message.
        advice: what to do if it refuses the file.

    Raises:
        UserError: if the runtime refuses the file.
        OSError: if this process may not open the files that the runtime needs.
    """
    try:
        yield
    except (UserError, ImportError):
        raise
    except Exception as error:
        if is_of_the_system(error) or is_out_of_memory(error):
            raise
        require_open_files(OPEN_FILES)
        raise UserError(f"{runtime} cannot open {file}{how} ({_first_characters(error)}); {advice}") from None


def check_input(file: Path, card: Card, dtype: str, sides: Iterable[Any]) -> None:
    """Check that a file takes the images that its card says.

    Args:
        file: the file.
        card: its card.
        dtype: of the input.
        sides: height and width of the input; what is no number above 0 stands for any.

    Raises:
        UserError: if the card says another dtype or size.
    """
    height, width = (side if isinstance(side, int) and side > 0 else 0 for side in sides)
    takes, says = _kind(dtype, (height, width) if height and width else None), _kind(card.input.dtype, card.size)
    if takes != says:
        raise UserError(
            f"{file} takes images in {takes}, and its card {cards.path_of(file).name} says {says}; export it again"
        )


def _kind(dtype: str, size: Size | None) -> str:
    return f"{dtype} of {f'{size[0]} × {size[1]} pixels' if size else 'any size'}"


def require_cpu(runtime: str, device: str) -> None:
    """Raise UserError unless a file is to run on the CPU, the one device that this runtime has here."""
    if device != CPU:
        raise UserError(
            f"{runtime} runs on the CPU alone here, not on {device}; choose --device cpu or --runtime torch"
        )


def _first_characters(error: Exception) -> str:
    """Return the message of a runtime's exception as one line, cut off after 200 characters."""
    return " ".join(str(error).split())[:200]


class Format(Protocol):
    """A file format together with the runtime that runs it; modules satisfy it.

    They import their libraries, and ``pixels`` with numba, inside functions, because every command imports all formats
    to list them in its ``--help``.

    Attributes:
        LABEL: name in tables and figures.
        SUFFIX: end of the name of a file that accepts images of any size: ``<variant>_x<scale><SUFFIX>``.
        LIBRARIES: distributions that write the file; its card records their versions.
        RUNTIME: distribution that runs the file; every measurement records its version.
        VARIANTS: variants of a net that the format is made of.
    """

    LABEL: str
    SUFFIX: str
    LIBRARIES: tuple[str, ...]
    RUNTIME: str
    VARIANTS: tuple[str, ...]

    def export(self, net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
        """Write the files of a super-resolution net into a folder.

        Args:
            net: float or int8, with the input ``lr`` and the output ``sr``.
            folder: an existing folder.
            stem: beginning of the files' names.
            size: height and width of the LR image for a file of fixed size, if the format has such a file.

        Returns:
            The files written; none if the format does not support this kind of net.
        """

    def export_file(self, net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
        """Write one file of a super-resolution net of a variant in ``VARIANTS``.

        Args:
            net: float or int8, with the input ``lr`` and the output ``sr``.
            file: a path that ends in ``SUFFIX``.
            size: the one height and width of LR images that the file accepts; None for any.
        """

    def write(self, net: OperationGraph, file: Path, size: Size | None = None) -> None:
        """Write a net of operations with any inputs and outputs to one file.

        Args:
            net: any net; it is written without changes.
            file: a path that ends in ``SUFFIX``.
            size: height and width of the inputs that the file must accept; None for any. A format whose files accept
                any size may ignore it.
        """

    def parts(self, file: Path) -> list[Path]:
        """Return all files of a model, ``file`` first."""

    def load(self, file: Path, card: Card, threads: int, device: str = CPU) -> Runner:
        """Open a super-resolution net.

        Args:
            file: the file.
            card: its card.
            threads: number of threads of the runtime on the CPU.
            device: where it runs, as the runtime names its devices.

        Raises:
            UserError: if the runtime refuses the file, or has no such device here.
        """

    def import_runtime(self) -> None:
        """Import the libraries that :meth:`load` needs, so that a model's memory can be measured without theirs."""

    def raw_call(self, file: Path, size: Size, threads: int) -> Callable[[], object]:
        """Return a function that runs a file on random inputs, to time the runtime alone.

        Args:
            file: written by :meth:`write` for this size, with any inputs.
            size: height and width of the inputs.
            threads: number of threads of the runtime.
        """

    def operators(self, file: Path) -> Iterator[Operator]:
        """Yield the operators of a file in the order they run."""

    def try_out(self, files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
        """Return the files that this machine cannot run, and the reasons.

        This is for runtimes that can crash the calling process; others return {} and raise in :meth:`load`.
        """

    def example(self, model: ModelFile, largest_sum: int) -> str:
        """Return a Python program that upscales ``photo.png`` to ``large.png`` with a file beside it.

        Args:
            model: the file.
            largest_sum: of the net's int8 products, as in its card (``graph.saturation.largest_sum``).
        """
