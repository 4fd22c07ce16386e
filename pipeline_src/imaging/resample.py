"""The compiled loops of imresize. Import this module only where an image is resized, because Numba is slow to load.

They do not use fastmath: every sum is taken tap by tap, as in a plain loop, so that it rounds alike on every machine.
"""

import numpy as np

from pipeline_src.imaging.compiled import compiled

BLOCK = 32  # output rows computed together; their intermediate lines, transposed, should fit in the L2 cache


@compiled(nogil=True)
def weighted_sum(lines: np.ndarray, taps: np.ndarray, weights: np.ndarray, total: np.ndarray) -> None:
    """Write Σ weights[p] · lines[taps[p]] into ``total``, in its float type."""
    number = total.dtype.type
    total[:] = 0
    fours = len(taps) // 4 * 4
    for p in range(0, fours, 4):  # four lines per pass, because reading and writing total limits the speed
        a, b, c, d = lines[taps[p]], lines[taps[p + 1]], lines[taps[p + 2]], lines[taps[p + 3]]
        u, v, w, z = weights[p], weights[p + 1], weights[p + 2], weights[p + 3]
        for x in range(len(total)):
            total[x] = (((total[x] + u * number(a[x])) + v * number(b[x])) + w * number(c[x])) + z * number(d[x])
    for p in range(fours, len(taps)):
        a, u = lines[taps[p]], weights[p]
        for x in range(len(total)):
            total[x] += u * number(a[x])


@compiled(nogil=True)
def round_to_8_bits(line: np.ndarray) -> None:
    """Round half up and clip to 0..255, in place. Values that are not clipped are rounded like MATLAB's."""
    number = line.dtype.type
    for x in range(len(line)):
        line[x] = min(max(np.floor(line[x] + number(0.5)), number(0)), number(255))


@compiled(nogil=True)
def transpose(source: np.ndarray, target: np.ndarray) -> None:
    """Fill ``target``, H×W, from the first H columns of the first W rows of ``source``."""
    for y in range(target.shape[0]):
        for x in range(target.shape[1]):
            target[y, x] = source[x, y]


@compiled(nogil=True)
def resample(
    image: np.ndarray,
    channels: int,
    rows: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
    rounding: tuple[bool, bool],
    out: np.ndarray,
) -> None:
    """Fill ``out``, H'×(W'·channels), from ``image``, H×(W·channels), and resize first the height, then the width.

    Output row y is Σ weights[y, p] · image[taps[y, p]] with the taps and weights of ``rows``, and likewise for columns.
    The sums are taken in the type of the weights. A block of lines is transposed between the passes, so that both read
    memory in order.

    Args:
        image: uint8 or float64.
        channels: number of values per pixel.
        rows: taps, int64 H'×P, and weights, float H'×P, of each output row.
        columns: taps, int64 W'×Q, and weights, float W'×Q, of each output column.
        rounding: whether to round to 8 bits after the first and the second pass.
        out: uint8 or float64.
    """
    row_taps, row_weights = rows
    column_taps, column_weights = columns
    width = image.shape[1]
    lines = np.empty((BLOCK, width), row_weights.dtype)
    transposed = np.zeros((width, BLOCK), row_weights.dtype)
    pixels = transposed.reshape(width // channels, channels * BLOCK)
    column = np.empty(channels * BLOCK, row_weights.dtype)
    resized = np.empty((len(column_taps), channels * BLOCK), out.dtype)
    samples = resized.reshape(len(column_taps) * channels, BLOCK)
    for start in range(0, len(out), BLOCK):
        block = out[start : start + BLOCK]
        for i in range(len(block)):
            weighted_sum(image, row_taps[start + i], row_weights[start + i], lines[i])
            if rounding[0]:
                round_to_8_bits(lines[i])
        transpose(lines, transposed)
        for x in range(len(column_taps)):
            weighted_sum(pixels, column_taps[x], column_weights[x], column)
            if rounding[1]:
                round_to_8_bits(column)
            for i in range(len(column)):
                resized[x, i] = column[i]
        transpose(samples, block)
