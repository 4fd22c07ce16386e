"""The range an 8-bit activation should have."""

import numpy as np
from torch import Tensor

BINS = 4096
SHRINKS = [i / 40 for i in range(12, 41)]  # the share of an extreme value that a range may keep
LEVELS = 256


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
