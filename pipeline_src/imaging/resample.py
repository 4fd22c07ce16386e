"""The compiled loops of imresize. Import this module only where an image is resized: Numba is slow to load.

No fastmath: every sum is taken tap by tap, in the order of a plain loop, so that it rounds like one on every machine.
"""

import numpy as np
from numba import njit

BLOCK = 32  # output rows computed together; their intermediate lines, transposed, should fit in the L2 cache


@njit(nogil=True, cache=True)
def weighted_sum(lines: np.ndarray, taps: np.ndarray, weights: np.ndarray, total: np.ndarray) -> None:
    """Write Σ weights[p] · lines[taps[p]] into ``total``, in its float type."""
    number = total.dtype.type
    total[:] = 0
    fours = len(taps) // 4 * 4
    for p in range(0, fours, 4):  # four lines a pass; one at a time would be bound by reading and writing total
        a, b, c, d = lines[taps[p]], lines[taps[p + 1]], lines[taps[p + 2]], lines[taps[p + 3]]
        u, v, w, z = weights[p], weights[p + 1], weights[p + 2], weights[p + 3]
        for x in range(len(total)):
            total[x] = (((total[x] + u * number(a[x])) + v * number(b[x])) + w * number(c[x])) + z * number(d[x])
    for p in range(fours, len(taps)):
        a, u = lines[taps[p]], weights[p]
        for x in range(len(total)):
            total[x] += u * number(a[x])


@njit(nogil=True, cache=True)
def round_to_8_bits(line: np.ndarray) -> None:
    """Round half up and clip to 0..255, in place; for values that are not clipped this is MATLAB's rounding."""
    number = line.dtype.type
    for x in range(len(line)):
        line[x] = min(max(np.floor(line[x] + number(0.5)), number(0)), number(255))


@njit(nogil=True, cache=True)
def resample(  # noqa: C901 (one compiled loop over blocks of lines, whose parts share buffers)
    image: np.ndarray,
    channels: int,
    row_taps: np.ndarray,
    row_weights: np.ndarray,
    column_taps: np.ndarray,
    column_weights: np.ndarray,
    round_between: bool,
    round_after: bool,
    first: int,
    last: int,
    out: np.ndarray,
) -> None:
    """Fill rows ``first``..``last`` of ``out``, H'×(W'·channels), from ``image``, H×(W·channels): rows, then columns.

    Output row y is Σ row_weights[y, p] · image[row_taps[y, p]], and columns likewise. The sums are taken in the type
    of the weights. A block of lines is transposed between the passes, so that both read memory in order.
    """
    width = image.shape[1]
    lines = np.empty((BLOCK, width), row_weights.dtype)
    transposed = np.zeros((width, BLOCK), row_weights.dtype)
    pixels = transposed.reshape(width // channels, channels * BLOCK)
    column = np.empty(channels * BLOCK, row_weights.dtype)
    resized = np.empty((len(column_taps), channels * BLOCK), out.dtype)
    samples = resized.reshape(len(column_taps) * channels, BLOCK)
    for start in range(first, last, BLOCK):
        rows = min(BLOCK, last - start)
        for i in range(rows):
            weighted_sum(image, row_taps[start + i], row_weights[start + i], lines[i])
            if round_between:
                round_to_8_bits(lines[i])
        for x in range(width):
            for i in range(BLOCK):
                transposed[x, i] = lines[i, x]
        for x in range(len(column_taps)):
            weighted_sum(pixels, column_taps[x], column_weights[x], column)
            if round_after:
                round_to_8_bits(column)
            for i in range(len(column)):
                resized[x, i] = column[i]
        for i in range(rows):
            for x in range(len(samples)):
                out[start + i, x] = samples[x, i]
