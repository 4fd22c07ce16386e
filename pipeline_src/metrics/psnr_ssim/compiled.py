"""The compiled loops of the metrics. Import this module only where images are compared: Numba is slow to load."""

from typing import Any

import numpy as np

from pipeline_src.imaging.colour import FROM_RGB, OFFSET, UNIT
from pipeline_src.imaging.compiled import compiled

TAPS = 11
STRIP = 1024  # columns processed together, so that eleven rows of them stay in the L2 cache
RED, GREEN, BLUE = (int(weight) for weight in FROM_RGB[0])
OFFSET_AND_HALF, DENOMINATOR = int(OFFSET[0] * UNIT + UNIT // 2), int(UNIT)  # the half rounds the division
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
# Unsigned, so that the loops need not handle indices that count from the end.
K0, K1, K2, K3, K4, K5, K6, K7, K8, K9, K10 = np.arange(TAPS, dtype=np.uint64)

# Neither a check for division by zero nor a fixed order of float additions: both keep a loop from being vectorised.
FAST: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc"}}


@compiled(**FAST)
def blur_across(line: np.ndarray, g: np.ndarray, total: np.ndarray) -> None:
    """Blur one row: ``total[x]`` = Σ g[k] · line[x + k], for a symmetric kernel ``g`` of 11 taps."""
    g0, g1, g2, g3, g4, g5 = g[0], g[1], g[2], g[3], g[4], g[5]
    for x in range(len(total)):
        total[x] = (
            g0 * (line[x + K0] + line[x + K10])
            + g1 * (line[x + K1] + line[x + K9])
            + g2 * (line[x + K2] + line[x + K8])
            + g3 * (line[x + K3] + line[x + K7])
            + g4 * (line[x + K4] + line[x + K6])
            + g5 * line[x + K5]
        )


@compiled(**FAST)
def luma_of_rows(rgb: np.ndarray, first: int, last: int, y: np.ndarray) -> None:
    """Write ``colour.rgb_to_y`` of the rows first..last into the same rows of ``y``."""
    for row in range(first, last):
        for x in range(y.shape[1]):
            weighted = RED * rgb[row, x, 0] + GREEN * rgb[row, x, 1] + BLUE * rgb[row, x, 2]
            y[row, x] = (weighted + OFFSET_AND_HALF) // DENOMINATOR


@compiled(**FAST)
def squared_error_of_rows(hr: np.ndarray, sr: np.ndarray, first: int, last: int, sums: np.ndarray) -> None:
    """Write the sum of squared differences of each row, H×N uint8, into ``sums[first:last]``."""
    for row in range(first, last):
        a, b, total = hr[row], sr[row], 0
        for x in range(len(a)):
            error = int(a[x]) - int(b[x])
            total += error * error
        sums[row] = total


# Two short loops instead of one over eleven rows: the compiler vectorises a loop only if it has to check few arrays for
# overlap.
@compiled(**FAST)
def blend_four_pairs(
    total: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray,
    e: np.ndarray, f: np.ndarray, g: np.ndarray, h: np.ndarray, s: float, t: float, u: float, v: float,
) -> None:  # fmt: skip
    """Write the weighted sum of the eight outer rows of a symmetric kernel into ``total``."""
    for x in range(len(total)):
        total[x] = s * (a[x] + b[x]) + t * (c[x] + d[x]) + u * (e[x] + f[x]) + v * (g[x] + h[x])


@compiled(**FAST)
def add_pair_and_middle(total: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, u: float, v: float) -> None:
    """Add the weighted sum of the three inner rows of a symmetric kernel to ``total``."""
    for x in range(len(total)):
        total[x] += u * (a[x] + b[x]) + v * c[x]


@compiled(**FAST)
def blur_down(ring: np.ndarray, first: int, g: np.ndarray, total: np.ndarray) -> None:
    """Blur down the last eleven rows, kept in a ring buffer: ``total`` = Σ g[k] · ring[(first + k) % 11]."""
    outer = ring[first % TAPS], ring[(first + 10) % TAPS], ring[(first + 1) % TAPS], ring[(first + 9) % TAPS]
    inner = ring[(first + 2) % TAPS], ring[(first + 8) % TAPS], ring[(first + 3) % TAPS], ring[(first + 7) % TAPS]
    middle = ring[(first + 4) % TAPS], ring[(first + 6) % TAPS], ring[(first + 5) % TAPS]
    blend_four_pairs(total, *outer, *inner, g[0], g[1], g[2], g[3])
    add_pair_and_middle(total, *middle, g[4], g[5])


@compiled(**FAST)
def products(hr: np.ndarray, sr: np.ndarray, x: np.ndarray, y: np.ndarray, squares: np.ndarray, xy: np.ndarray) -> None:
    """Write x, y, x² + y² and x·y of one image row, whose blurs are the moments that SSIM is made of."""
    for i in range(len(hr)):
        h, s = float(hr[i]), float(sr[i])
        x[i], y[i], squares[i], xy[i] = h, s, h * h + s * s, h * s


@compiled(**FAST)
def similarity(x: np.ndarray, y: np.ndarray, squares: np.ndarray, xy: np.ndarray) -> float:
    """Return the sum over one row of the SSIM map, from the blurred :func:`products`."""
    total = 0.0
    for i in range(len(x)):
        means = x[i] * x[i] + y[i] * y[i]
        product = x[i] * y[i]
        total += ((2 * product + C1) * (2 * (xy[i] - product) + C2)) / ((means + C1) * (squares[i] - means + C2))
    return total


@compiled(**FAST)
def add_strip(hr: np.ndarray, sr: np.ndarray, gaussian: np.ndarray, first: int, last: int, sums: np.ndarray) -> None:
    """Add the row sums of the SSIM map of one vertical strip to ``sums[first:last]``."""
    width = hr.shape[1]
    valid = width - (TAPS - 1)
    maps = np.empty((4, width))  # x, y, x² + y² and x·y of one image row
    ring = np.empty((TAPS, 4 * valid))  # the same of the last eleven rows, blurred across
    means = np.empty(4 * valid)
    for row in range(first, last + TAPS - 1):
        products(hr[row], sr[row], maps[0], maps[1], maps[2], maps[3])
        for m in range(4):
            blur_across(maps[m], gaussian, ring[row % TAPS][m * valid : (m + 1) * valid])
        top = row - (TAPS - 1)
        if top >= first:
            blur_down(ring, top, gaussian, means)
            sums[top] += similarity(
                means[:valid], means[valid : 2 * valid], means[2 * valid : 3 * valid], means[3 * valid :]
            )


@compiled(**FAST)
def ssim_of_rows(hr: np.ndarray, sr: np.ndarray, gaussian: np.ndarray, first: int, last: int, sums: np.ndarray) -> None:
    """Add the sums of rows of the SSIM map to ``sums[first:last]``; ``hr`` and ``sr`` are H×W.

    Row r of the map is computed from the image rows r..r+10 and has W − 10 values.
    """
    valid = hr.shape[1] - (TAPS - 1)
    for left in range(0, valid, STRIP):
        right = min(left + STRIP, valid) + TAPS - 1
        add_strip(hr[:, left:right], sr[:, left:right], gaussian, first, last, sums)
