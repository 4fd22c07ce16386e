"""One figure of one file in two states, and the verdict on it."""

from dataclasses import dataclass
from math import nan

WORSE, BETTER, SAME, INCOMPARABLE = "worse", "better", "same", "not comparable"


@dataclass(frozen=True)
class File:
    """An exported file on a device; the fields are ``measurements.KEY``."""

    device: str
    system: str
    variant: str
    runtime: str
    scale: int


@dataclass(frozen=True)
class Change:
    """One figure of a file in two states.

    Attributes:
        file: the file.
        figure: ``psnr_y``, ``ssim_y``, ``p50_ms``, ``file_bytes``, ``peak_memory_mb``, ``disagrees`` or ``fails``.
        verdict: ``WORSE``, ``BETTER``, ``SAME`` or ``INCOMPARABLE``.
        set: the image set of a quality; "" for the others.
        base: the figure of the first state; of a quality the mean over the images that both states have.
        base_low: lower end of the confidence interval of a latency.
        base_high: its upper end.
        new: the figure of the second state.
        new_low: lower end of the confidence interval of a latency.
        new_high: its upper end.
        difference: ``new`` less ``base``; of costs in per cent of ``base``.
        low: lower end of the confidence interval of the difference of a quality.
        high: its upper end.
        images: number of images that a quality is of.
        reason: why it cannot be compared, or what a file does that fails or disagrees.
    """

    file: File
    figure: str
    verdict: str
    set: str = ""
    base: float = nan
    base_low: float = nan
    base_high: float = nan
    new: float = nan
    new_low: float = nan
    new_high: float = nan
    difference: float = nan
    low: float = nan
    high: float = nan
    images: int = 0
    reason: str = ""


def verdict(gain: float, tolerance: float) -> str:
    """Return the verdict on a difference that is certain.

    Args:
        gain: by how much the second state is better.
        tolerance: the least that counts.
    """
    if gain == 0 or abs(gain) < tolerance:
        return SAME
    return BETTER if gain > 0 else WORSE
