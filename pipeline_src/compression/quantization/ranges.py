"""The ranges of 8-bit activations, and the quantisation steps of 8-bit weights."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline_src.graph.saturation import LARGEST_WEIGHT, fits, largest_pair

if TYPE_CHECKING:
    from torch import Tensor

BINS = 4096  # of the histogram on which ranges are compared
SHRINKS = [i / 40 for i in range(12, 41)]  # shares of an extreme value that a range may keep
LEVELS = 256


def least_error_range(values: "Tensor") -> tuple[float, float]:
    """Return the range of least squared error when values are clipped to it and rounded to 256 equal steps.

    The extremes are often a few outliers that cost all other values resolution. Ranges are compared on a histogram, and
    both ends are searched in steps of a fortieth of their extreme.

    Args:
        values: Values of an activation, float32, any shape.

    Returns:
        The ends of the range, low ≤ 0 ≤ high.
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
    """Return the smallest step of each output channel in which rounded weights always :func:`fit <fits>`.

    It is ``largest_pair / 127``: if both weights of a pair are rounded up, their sum grows by one, and 128 still fits.
    A channel of zeros gets the mean step of the other channels, because in a tiny step its bias would exceed int32.

    Args:
        weights: O×…, float.

    Returns:
        O steps, float.
    """
    pairs = largest_pair(weights)
    nonzero = pairs[pairs > 0]
    return pairs.where(pairs > 0, nonzero.mean() if len(nonzero) else pairs + LARGEST_WEIGHT) / LARGEST_WEIGHT


def sum_keeping_step(weights: np.ndarray) -> float:
    """Return a step in which rounded weights keep their sum.

    For a filter that must not change an even area, such as interpolation or a colour transform.

    Args:
        weights: Weights of one filter, float64, any shape.

    Returns:
        The step of least squared error from the :func:`smallest_step` to twice that; the smallest if the sum is 0 or no
        step keeps it.
    """
    import torch

    smallest = float(largest_pair(torch.from_numpy(weights)[None])) / LARGEST_WEIGHT
    total = float(weights.sum())
    best, least = smallest, np.inf
    largest_count = int(abs(total) / smallest * (1 + 1e-9)) if smallest else 0
    for count in range(largest_count, largest_count // 2, -1):  # steps that the sum is to have
        step = abs(total) / count
        rounded = np.rint(weights / step)
        error = float(np.square(rounded * step - weights).sum())
        if abs(rounded.sum()) == count and fits(torch.from_numpy(rounded)[None]) and error < least:
            best, least = step, error
    return best
