"""Nets as functions on NumPy arrays, for programs: ``pipeline_src.load_model``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from os import PathLike, fspath

import numpy as np

from pipeline_src.deployment.interface import VARIANTS
from pipeline_src.errors import UserError
from pipeline_src.library.nets import RUNTIMES, Running, resolve
from pipeline_src.library.output_size import LARGEST_FACTOR, OutputSize
from pipeline_src.library.upscaler import Upscaler

# Options of the command, and values that messages advise to give them.
OPTION = re.compile(r"--(model|scale|runtime|variant|device)\b(?: (cpu|fp32|ptq|torch)\b)?")


@dataclass(frozen=True)
class LoadedModel:
    """A net as a function.

    Attributes:
        name: of the net.
        factor: by which both sides grow.
    """

    name: str
    factor: Fraction
    _upscaler: Upscaler

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Upscale an image of any size, in overlapping tiles if it is large.

        Args:
            image: uint8 H×W×3 in RGB order, or H×W; a grey image goes through the net in three equal channels.

        Returns:
            uint8 ⌈H·factor⌉×⌈W·factor⌉×3, or without the 3 for a grey image.

        Raises:
            UserError: if the image is of another type or shape.
        """
        from pipeline_src.imaging.colour import as_rgb, to_grey

        if not isinstance(image, np.ndarray):
            raise UserError(
                f"an image is a NumPy array, uint8 H×W×3 or H×W, not {_kind(image)}; make one, as by "
                'np.asarray(PIL.Image.open("photo.png").convert("RGB"))'
            )
        if image.dtype != np.uint8 or not image.size or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
            raise UserError(
                f"an image is uint8 H×W×3 or H×W, and not empty, not {image.dtype} {image.shape}; convert it first"
            )
        with _of_python():
            plan = self._upscaler.plan(*image.shape[:2])
        sr = plan(np.ascontiguousarray(as_rgb(image)))
        return to_grey(sr) if image.ndim == 2 else sr


def load(model: str | PathLike[str] | None, scale: int | float | Fraction | None, running: Running) -> LoadedModel:
    """Return a net as a function, opened; see :func:`pipeline_src.load_model`.

    Raises:
        UserError: if there is no such net, or it cannot run so.
    """
    _check_types(model, scale, running)
    for value, known in ((running.runtime, RUNTIMES), (running.variant, VARIANTS)):
        if value is not None and value not in known:
            raise UserError(f"{value} is none of {', '.join(known)}; choose one of these")
    factor = None if scale is None else _factor(scale)
    running = replace(running, device=running.device.lower())
    with _of_python():
        upscaler = Upscaler(resolve(None if model is None else fspath(model), running), OutputSize(factor))
        factor = upscaler.plan(1, 1).factor
    return LoadedModel(upscaler.net.name, factor, upscaler)


@contextmanager
def _of_python() -> Iterator[None]:
    """Let messages name arguments of Python, such as ``scale=``, instead of options of the command."""
    try:
        yield
    except UserError as error:
        message = OPTION.sub(lambda match: f'{match[1]}="{match[2]}"' if match[2] else f"{match[1]}=", str(error))
        raise UserError(message) from None


def _factor(scale: int | float | Fraction) -> Fraction:
    """Return a scale as a fraction.

    Raises:
        UserError: if it is not above 1 and at most the largest there is.
    """
    if 1 < scale <= LARGEST_FACTOR:
        factor = Fraction(scale if isinstance(scale, Fraction) else float(scale)).limit_denominator(10_000)
        if factor > 1:  # not rounded down to it
            return factor
    raise UserError(f"scale must be above 1 and at most {LARGEST_FACTOR}, not {scale}; choose another")


def _check_types(model: object, scale: object, running: Running) -> None:
    """Check what a program gives as arguments, which need not be what their types say.

    Raises:
        UserError: if one of them is of another type.
    """
    for name, value, right, what in (
        (
            "model",
            model,
            model is None or (isinstance(model, str | PathLike) and isinstance(fspath(model), str)),
            "a name or a path",
        ),
        (
            "scale",
            scale,
            scale is None or (isinstance(scale, Real | Decimal) and not isinstance(scale, bool)),
            "a number",
        ),
        ("runtime", running.runtime, isinstance(running.runtime, str | None), "a text"),
        ("variant", running.variant, isinstance(running.variant, str | None), "a text"),
        ("device", running.device, isinstance(running.device, str), "a text"),
        ("threads", running.threads, _is_count(running.threads), "a whole number of 1 or more"),
    ):
        if not right:
            raise UserError(f"{name} must be {what}, not {_kind(value)}; correct it")


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _kind(value: object) -> str:
    """Return a value and its type as a message names them, such as ``'3' (str)``."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
