"""A plain convolutional downscaler, small enough for the device that sends the images, in int8 too.

Space-to-depth turns each LR pixel's block of HR into channels; a few 3×3 convolutions on these add to what bicubic
makes of them. It is trained together with the net that upscales its images, as CAR is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline_src.downscaling import LearnedDownscaler


def build(scales: list[int], channels: int = 32, depth: int = 2) -> "LearnedDownscaler":
    """Return an untrained downscaler, initialised from torch's global generator; at first it is bicubic.

    Args:
        scales: the one factor by which it downscales.
        channels: filters of the convolutions but the last one.
        depth: number of convolutions between the first and the last one.

    Raises:
        ValueError: for several scales.
    """
    from pipeline_src.downscaling.conv.network import Downscaler

    if len(scales) != 1:
        raise ValueError(f"the convolutional downscaler has one scale, not {scales}")
    return Downscaler(scales[0], channels, depth)
