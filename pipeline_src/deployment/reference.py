"""The reference image, made at export, and its comparison with the image that a runtime gives on this machine.

A runtime can compute another net than the file contains, because sums of int8 products saturate on a CPU without VNNI,
because it uses bfloat16, or because a delegate is wrong. The file is intact, so this shows only in its output.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Runner

LR_FILE = "reference_lr.png"
SIZE = (72, 96)  # height and width of the LR image
# The most by which images of the same net may differ. OpenVINO does not round between a convolution and a sum after it.
LEVELS, PSNR = 3, 50.0


@dataclass(frozen=True)
class Agreement:
    """The similarity of two images.

    Attributes:
        levels: the largest difference.
        within_one: share of values that differ by at most one level.
        psnr: in dB; ``inf`` if the two are equal.
    """

    levels: int
    within_one: float
    psnr: float

    @property
    def agrees(self) -> bool:
        """Whether the two images come from the same net, apart from rounding."""
        return self.levels <= LEVELS and self.psnr >= PSNR

    @property
    def in_words(self) -> str:
        """The three figures as the end of a sentence."""
        return f"up to {self.levels} levels off, {1 - self.within_one:.1%} by more than one, PSNR {self.psnr:.1f} dB"

    def columns(self, where: str) -> dict[str, Any]:
        """Return the cells of a table of measurements.

        Args:
            where: the file was run, for the sentence of one that disagrees, such as ``here``.

        Returns:
            ``off_levels``, the largest difference in levels of 0..255; ``off_share``, the share of values that differ
            by more than one level; ``off_psnr``, the PSNR in dB; ``disagrees``, a sentence if the image is that of
            another net, otherwise "".
        """
        disagrees = "" if self.agrees else f"gives another image {where} than at export: {self.in_words}"
        off = {"off_levels": self.levels, "off_share": 1 - self.within_one, "off_psnr": self.psnr}
        return off | {"disagrees": disagrees}


def lr_image(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """Return a synthetic LR image, uint8 H×W×3, with the detail of a photograph and the same on every machine.

    It is the sum of random squares of 1, 2, 4, … pixels, of which the larger ones have more weight. A tenth of its
    values are clipped to 0 or 255. Flat areas and patterns are unsuitable, because a tie that two runtimes round
    differently would repeat all over them.
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
    """Return the worst of each figure among several comparisons."""
    return Agreement(
        max(agreement.levels for agreement in agreements),
        min(agreement.within_one for agreement in agreements),
        min(agreement.psnr for agreement in agreements),
    )


def compare(sr: np.ndarray, reference: np.ndarray) -> Agreement:
    """Compare an image with its reference, both uint8 H×W×3."""
    difference = np.abs(sr.astype(np.int16) - reference)
    error = float(np.square(difference, dtype=np.float64).mean())
    psnr = 10 * np.log10(255**2 / error) if error else float("inf")
    return Agreement(int(difference.max()), float((difference <= 1).mean()), float(psnr))


def of_file(runner: "Runner", fixed: "Iterable[Runner]", lr: np.ndarray, expected: np.ndarray) -> Agreement:
    """Compare the image that a file gives with its reference image, and its files of fixed size with this one.

    Args:
        runner: the file that accepts images of any size.
        fixed: the files of the same net that accept one size, each compared on an image of that size.
        lr: the LR image of the reference, uint8 H×W×3.
        expected: the reference image, uint8 sH×sW×3.

    Returns:
        The worst figures of all comparisons.
    """
    agreements = [compare(runner(lr), expected)]
    for one in fixed:
        if one.size:
            image = lr_image(*one.size)
            agreements.append(compare(one(image), runner(image)))
    return worst(agreements)
