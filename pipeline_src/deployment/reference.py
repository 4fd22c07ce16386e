"""The image that a file should give, made at export, and how far the image is that a runtime gives on this machine.

A runtime may compute another net than the file holds: sums of int8 products that saturate on a CPU without VNNI,
bfloat16 where the CPU has it, a delegate that is wrong. The file is intact, so only its output shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LR_FILE = "reference_lr.png"
SIZE = (72, 96)  # height and width of the LR image
# How far images of the same net may be apart: OpenVINO does not round between a convolution and the sum behind it.
LEVELS, PSNR = 3, 50.0


@dataclass(frozen=True)
class Agreement:
    """How close two images are.

    Attributes:
        levels: the largest difference.
        within_one: share of values that differ by one level or not at all.
        psnr: in dB; ``inf`` where the two are equal.
    """

    levels: int
    within_one: float
    psnr: float

    @property
    def agrees(self) -> bool:
        """Whether the two come from the same net, but for its rounding."""
        return self.levels <= LEVELS and self.psnr >= PSNR

    @property
    def in_words(self) -> str:
        """The three figures, as the end of a sentence."""
        return f"up to {self.levels} levels off, {1 - self.within_one:.1%} by more than one, PSNR {self.psnr:.1f} dB"


def lr_image(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """Return an LR image as detailed as a photograph and of more contrast, the same on every machine: uint8 H×W×3.

    Random colours in squares of 1, 2, 4, … pixels, added up, the larger ones stronger; a tenth of it is black or white.
    Even areas and patterns would not do: one tie that two runtimes round in different ways would be all over them.
    """
    random = np.random.default_rng(0)
    image = np.zeros((height, width, 3))
    for side in (1, 2, 4, 8, 16):
        squares = random.integers(-128, 128, (-(-height // side), -(-width // side), 3))
        image += side**0.75 * squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    low, high = np.percentile(image, (5, 95))
    stretched: np.ndarray = ((image - low) * (255 / (high - low))).clip(0, 255)
    return stretched.round().astype(np.uint8)


def worst(agreements: Sequence[Agreement]) -> Agreement:
    """Return the worst of each figure."""
    return Agreement(
        max(agreement.levels for agreement in agreements),
        min(agreement.within_one for agreement in agreements),
        min(agreement.psnr for agreement in agreements),
    )


def compare(sr: np.ndarray, reference: np.ndarray) -> Agreement:
    """Return how far an image is from the one it should be; both uint8 H×W×3."""
    difference = np.abs(sr.astype(np.int16) - reference)
    error = float(np.square(difference, dtype=np.float64).mean())
    psnr = 10 * np.log10(255**2 / error) if error else float("inf")
    return Agreement(int(difference.max()), float((difference <= 1).mean()), float(psnr))
