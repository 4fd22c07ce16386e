"""The range that an 8-bit activation should have, and the steps of 8-bit weights."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline_src.graph.saturation import LARGEST_WEIGHT, fits, largest_pair

if TYPE_CHECKING:
    from torch import Tensor

BINS = 4096
SHRINKS = [i / 40 for i in range(12, 41)]  # the share of an extreme value that a range may keep
LEVELS = 256


def least_error_range(values: "Tensor") -> tuple[float, float]:
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


def smallest_step(weights: "Tensor") -> "Tensor":
    """The smallest step per output channel in which rounded weights always :func:`fit <fits>`, O values.

    That is ``largest_pair / 127``: where both of a pair are rounded up, it grows by one, and 128 still fits. A channel
    of zeros gets the mean step of the others: in the smallest that there is, its bias would be no int32.
    """
    pairs = largest_pair(weights)
    alive = pairs[pairs > 0]
    return pairs.where(pairs > 0, alive.mean() if len(alive) else pairs + LARGEST_WEIGHT) / LARGEST_WEIGHT


def sum_keeping_step(weights: np.ndarray) -> float:
    """The step in which ``weights``, rounded to whole steps, still have the sum they had.

    For a filter that must not change an even area (interpolation, a colour transform). Of the steps up to twice the
    :func:`smallest_step` the one of least squared error; the smallest where the sum is 0, or where no step keeps it.
    """
    import torch

    smallest = float(largest_pair(torch.from_numpy(weights)[None])) / LARGEST_WEIGHT
    total = float(weights.sum())
    best, least = smallest, np.inf
    most = int(abs(total) / smallest * (1 + 1e-9)) if smallest else 0
    for count in range(most, most // 2, -1):
        step = abs(total) / count
        rounded = np.rint(weights / step)
        error = float(np.square(rounded * step - weights).sum())
        if abs(rounded.sum()) == count and fits(torch.from_numpy(rounded)[None]) and error < least:
            best, least = step, error
    return best
