"""Nets as functions on NumPy arrays, for programs: ``pipeline_src.load_model``."""

from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath

import numpy as np

from pipeline_src.deployment.interface import VARIANTS
from pipeline_src.errors import UserError
from pipeline_src.library.nets import RUNTIMES, Running, resolve
from pipeline_src.library.output_size import LARGEST_FACTOR, OutputSize
from pipeline_src.library.upscaler import Upscaler


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
            ValueError: if the image is of another type or shape.
        """
        from pipeline_src.imaging.colour import as_rgb, to_grey

        if image.dtype != np.uint8 or not image.size or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
            raise ValueError(f"an image is uint8 H×W×3 or H×W, and not empty, not {image.dtype} {image.shape}")
        sr = self._upscaler.plan(*image.shape[:2])(np.ascontiguousarray(as_rgb(image)))
        return to_grey(sr) if image.ndim == 2 else sr


def load(model: str | PathLike[str] | None, scale: int | float | Fraction | None, running: Running) -> LoadedModel:
    """Return a net as a function, opened; see :func:`pipeline_src.load_model`.

    Raises:
        UserError: if there is no such net, or it cannot run so.
    """
    for value, known in ((running.runtime, (None, *RUNTIMES)), (running.variant, VARIANTS)):
        if value not in known:
            raise UserError(f"{value} is none of {', '.join(str(each) for each in known if each)}; choose one of these")
    factor = None if scale is None else Fraction(scale).limit_denominator(10_000)
    if factor is not None and not 1 < factor <= LARGEST_FACTOR:
        raise UserError(f"the scale {scale} is not above 1 and at most {LARGEST_FACTOR}; choose another")
    upscaler = Upscaler(resolve(None if model is None else fspath(model), running), OutputSize(factor))
    factor = upscaler.plan(1, 1).factor
    return LoadedModel(upscaler.net.name, factor, upscaler)
