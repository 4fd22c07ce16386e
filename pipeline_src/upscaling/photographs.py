"""A photograph of any kind as arrays: its frames, each of 8 or 16 bits, and its metadata; and how it is resized."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb, to_grey
from pipeline_src.upscaling.metadata import Metadata
from pipeline_src.upscaling.transparency import fill_transparent
from pipeline_src.upscaling.wide import bicubic, keeping_depth

log = logging.getLogger(__name__)

# Text of a downscaled PNG: size of the photograph, scale and system, as in "640x480 by 4 for car_x4".
SOURCE_KEY = "super_resolution"
SOURCE = re.compile(r"(\d{1,6})x(\d{1,6}) by (\d) for ([\w-]+)")


@dataclass(frozen=True)
class Frame:
    """An upright image: a photograph, a frame of an animation, or a page.

    Attributes:
        colours: uint8 or uint16, H×W if grey, else H×W×3.
        alpha: H×W of the same dtype, or None.
        milliseconds: how long a frame of an animation is shown.
    """

    colours: np.ndarray
    alpha: np.ndarray | None = None
    milliseconds: float = 0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.colours.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.colours.shape[0])


@dataclass(frozen=True)
class Photograph:
    """One or more frames, and what their file says of them."""

    frames: list[Frame]
    metadata: Metadata


def resized(resize: Callable[[np.ndarray], np.ndarray], frame: Frame, scale: float | Fraction) -> Frame:
    """Resize a frame. Grey stays grey; transparency is resized with bicubic.

    Args:
        resize: maps uint8 H×W×3 to uint8 ⌈H·scale⌉×⌈W·scale⌉×3.
        frame: the frame.
        scale: factor of ``resize``; above 1 enlarges.
    """
    colours = frame.colours if frame.alpha is None else fill_transparent(frame.colours, frame.alpha)
    rgb = keeping_depth(resize, np.ascontiguousarray(as_rgb(colours)), scale)
    return Frame(
        rgb if frame.colours.ndim == 3 else to_grey(rgb),
        None if frame.alpha is None else bicubic(frame.alpha, scale),
        frame.milliseconds,
    )


def source_note(photograph: Frame, scale: int, system: str) -> dict[str, str]:
    """Return the text by which a downscaled PNG records the size of the photograph, the scale and the system."""
    return {SOURCE_KEY: f"{photograph.width}x{photograph.height} by {scale} for {system}"}


def cropped_to_source(
    result: Frame,
    small: Frame,
    metadata: Metadata,
    source: Path,
    scale: float | Fraction,
    *,
    rebuilds: str | None = None,
) -> Frame:
    """Crop an upscaled image to the size of the photograph, if the PNG of the small image records it.

    The upscaled image can be larger than the photograph because the size of the small image was rounded up.

    Args:
        result: the upscaled image.
        small: the image that was upscaled.
        metadata: of its file.
        source: its file, for the error message.
        scale: the scale by which it was upscaled.
        rebuilds: the name of the net, if it rebuilds what its own downscaler made; it warns of other images.

    Raises:
        UserError: if ``small`` was made to be upscaled by another scale.
    """
    note = SOURCE.fullmatch(metadata.texts.get(SOURCE_KEY, ""))
    if not note:
        if rebuilds:
            log.warning(
                "%s does not say that `superres downscale --model %s` made it; %s rebuilds such images, and is no good "
                "for others",
                *(source, rebuilds, rebuilds),
            )
        return result
    width, height, noted_scale = (int(part) for part in note.groups()[:3])
    if noted_scale != scale:
        raise UserError(
            f"{source} was made to be upscaled ×{noted_scale} by {note[4]}, not ×{float(scale):g}; "
            f"choose --model {note[4]}"
        )
    if (-(-width // noted_scale), -(-height // noted_scale)) != (small.width, small.height):
        return result  # the small image was cropped or resized later
    alpha = None if result.alpha is None else result.alpha[:height, :width]
    return Frame(result.colours[:height, :width], alpha, result.milliseconds)
