"""CAR's learned downscaler, for ×2 and ×4 (Sun & Chen, IEEE TIP 2020, arXiv 1907.12904).

It is trained together with a net that upscales its images. The published code is not used; the formulas are those of
the paper.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline_src.downscaling import LearnedDownscaler

MOST_BLOCKS = 10  # more would see farther than tiles overlap


def build(
    scales: list[int], entry: int = 64, features: int = 128, head: int = 256, blocks: int = 5, offsets: bool = True
) -> "LearnedDownscaler":
    """Return an untrained downscaler, initialised from torch's global generator; the defaults are those of the paper.

    Args:
        scales: the one factor by which it downscales, 2 or 4.
        entry: features at the size of HR.
        features: features at a quarter of it.
        head: features at an eighth of it.
        blocks: number of residual blocks.
        offsets: whether it learns offsets of the taps.

    Raises:
        ValueError: for several scales, another one, or more than ``MOST_BLOCKS`` blocks.
    """
    from pipeline_src.downscaling.car.network import MULTIPLE, Downscaler

    if len(scales) != 1 or MULTIPLE % scales[0]:
        raise ValueError(f"CAR has one scale, 2 or 4, not {scales}: its kernels are made at an eighth of the size")
    if blocks > MOST_BLOCKS:
        raise ValueError(
            f"CAR has at most {MOST_BLOCKS} blocks here, not {blocks}: more see farther than its tiles overlap"
        )
    return Downscaler(scales[0], entry, features, head, blocks, offsets)
