"""The image that a file should give, made at export, and how far what a runtime gives on this machine is from it.

A runtime may compute another net than the file holds: sums of int8 products that saturate on a CPU without VNNI,
bfloat16 where the CPU has it, a delegate that is wrong. The file is whole, and only its output tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LR_FILE = "reference_lr.png"
SIZE = (72, 96)  # height and width of the LR image
# What the same net may differ by: OpenVINO does not round between a convolution and the sum behind it, the others do.
LEVELS, PSNR = 3, 50.0


@dataclass(frozen=True)
class Agreement:
    """``levels`` is the largest difference, ``within_one`` the share of values that differ by one or not at all,
    ``psnr`` the PSNR in dB to the reference image, ``inf`` where the two are equal."""

    levels: int
    within_one: float
    psnr: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same net, but for its rounding."""
        return self.levels <= LEVELS and self.psnr >= PSNR

    @property
    def in_words(self) -> str:
        """The three figures, as the end of a sentence."""
        return f"up to {self.levels} levels off, {1 - self.within_one:.1%} by more than one, PSNR {self.psnr:.1f} dB"


def lr_image(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """An LR image as detailed as a photograph and of more contrast, the same on every machine: uint8 H×W×3.

    Random colours in squares of 1, 2, 4, … pixels, added up, the larger ones stronger; a tenth of it is black or white.
    Even areas and patterns would not do: one tie that two runtimes round in different ways would be all over them.
    """
    random = np.random.default_rng(0)
    image = np.zeros((height, width, 3))
    for side in (1, 2, 4, 8, 16):
        squares = random.integers(-128, 128, (-(-height // side), -(-width // side), 3))
        image += side**0.75 * squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    low, high = np.percentile(image, (5, 95))
    return ((image - low) * (255 / (high - low))).clip(0, 255).round().astype(np.uint8)


def worst(agreements: Sequence[Agreement]) -> Agreement:
    """The worst of each figure."""
    return Agreement(
        max(one.levels for one in agreements),
        min(one.within_one for one in agreements),
        min(one.psnr for one in agreements),
    )


def compare(sr: np.ndarray, reference: np.ndarray) -> Agreement:
    """How far an image is from the one it should be; both uint8 H×W×3."""
    difference = np.abs(sr.astype(np.int16) - reference)
    error = float(np.square(difference, dtype=np.float64).mean())
    psnr = 10 * np.log10(255**2 / error) if error else float("inf")
    return Agreement(int(difference.max()), float((difference <= 1).mean()), float(psnr))
