"""The range an 8-bit activation should have, and the step of weights that are given."""

import numpy as np
from torch import Tensor

BINS = 4096
SHRINKS = [i / 40 for i in range(12, 41)]  # the share of an extreme value that a range may keep
LEVELS = 256
LARGEST_WEIGHT = 127


def least_error_range(values: Tensor) -> tuple[float, float]:
    """(low, high), low ≤ 0 ≤ high, whose 256 equal steps round and clip ``values`` with the least squared error.

    The extremes themselves are often a few outliers that cost everything else resolution. Searched on a histogram, both
    ends in steps of a fortieth of their extreme.
    """
    low, high = min(0.0, values.min().item()), max(0.0, values.max().item())
    if low == high:
        return low, high
    counts = values.float().histc(BINS, low, high).double().numpy()
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    candidates = [
        (low * a, high * b) for a in (SHRINKS if low < 0 else [1.0]) for b in (SHRINKS if high > 0 else [1.0])
    ]
    return min(candidates, key=lambda ends: _squared_error(centres, counts, *ends))


def _squared_error(values: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / (LEVELS - 1)
    zero = round(-low / step)  # 0 must be a level: convolutions pad with it
    rounded = (np.clip(np.rint(values / step) + zero, 0, LEVELS - 1) - zero) * step
    return float(np.sum(counts * (rounded - values) ** 2))


def sum_keeping_step(weights: np.ndarray) -> float:
    """The step in which ``weights``, rounded to whole steps of −127..127, still have the sum they had.

    For a filter that must not change an even area (interpolation, a colour transform). Of the steps up to twice the
    smallest the one of least squared error; the smallest where the sum is 0, or where no step keeps it.
    """
    smallest = float(np.abs(weights).max()) / LARGEST_WEIGHT
    total = float(weights.sum())
    best, least = smallest, np.inf
    most = int(abs(total) / smallest * (1 + 1e-9)) if smallest else 0
    for count in range(most, most // 2, -1):
        step = abs(total) / count
        rounded = np.rint(weights / step)
        error = float(np.square(rounded * step - weights).sum())
        if abs(rounded.sum()) == count and np.abs(rounded).max() <= LARGEST_WEIGHT and error < least:
            best, least = step, error
    return best
