"""The compiled loop of SSIM. Import this module only where images are compared: Numba takes half a second."""

import numpy as np
from numba import njit

TAPS = 11
STRIP = 2000  # samples of a row worked on at once, so that eleven rows of them stay in the L2 cache
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


# Three short loops instead of one over all eleven: the compiler vectorises a loop only if it can tell few arrays apart.
@njit(nogil=True, cache=True)
def add_two_pairs(
    total: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, v: float, w: float
) -> None:
    for x in range(len(total)):
        total[x] += v * (a[x] + b[x]) + w * (c[x] + d[x])


@njit(nogil=True, cache=True)
def add_pair_and_middle(total: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, v: float, w: float) -> None:
    for x in range(len(total)):
        total[x] += v * (a[x] + b[x]) + w * c[x]


@njit(nogil=True, cache=True)
def blur_across(line: np.ndarray, step: int, g: np.ndarray, total: np.ndarray) -> None:
    """``total[x]`` = Σ g[k] · line[x + k·step]: the Gaussian along a row of pixels of ``step`` channels."""
    n = len(total)
    total[:] = 0
    for k in (0, 2):
        add_two_pairs(
            total,
            line[k * step : k * step + n],
            line[(10 - k) * step : (10 - k) * step + n],
            line[(k + 1) * step : (k + 1) * step + n],
            line[(9 - k) * step : (9 - k) * step + n],
            g[k],
            g[k + 1],
        )
    add_pair_and_middle(
        total, line[4 * step : 4 * step + n], line[6 * step : 6 * step + n], line[5 * step : 5 * step + n], g[4], g[5]
    )


@njit(nogil=True, cache=True)
def blur_down(ring: np.ndarray, first: int, g: np.ndarray, total: np.ndarray) -> None:
    """``total`` = Σ g[k] · ring[(first + k) % 11]: the Gaussian down the last eleven rows."""
    total[:] = 0
    for k in (0, 2):
        add_two_pairs(
            total,
            ring[(first + k) % TAPS],
            ring[(first + 10 - k) % TAPS],
            ring[(first + k + 1) % TAPS],
            ring[(first + 9 - k) % TAPS],
            g[k],
            g[k + 1],
        )
    add_pair_and_middle(total, ring[(first + 4) % TAPS], ring[(first + 6) % TAPS], ring[(first + 5) % TAPS], g[4], g[5])


@njit(nogil=True, cache=True)
def products(hr: np.ndarray, sr: np.ndarray, x: np.ndarray, y: np.ndarray, squares: np.ndarray, xy: np.ndarray) -> None:
    for i in range(len(hr)):
        h, s = float(hr[i]), float(sr[i])
        x[i], y[i], squares[i], xy[i] = h, s, h * h + s * s, h * s


@njit(nogil=True, cache=True, error_model="numpy")  # a check for division by zero would keep the loop from vectorising
def structural_similarity(
    x: np.ndarray, y: np.ndarray, squares: np.ndarray, xy: np.ndarray, similarity: np.ndarray
) -> None:
    for i in range(len(similarity)):
        means = x[i] * x[i] + y[i] * y[i]
        product = x[i] * y[i]
        similarity[i] = ((2 * product + C1) * (2 * (xy[i] - product) + C2)) / ((means + C1) * (squares[i] - means + C2))


@njit(nogil=True, cache=True)
def add_strip(
    hr: np.ndarray, sr: np.ndarray, channels: int, gaussian: np.ndarray, first: int, last: int, sums: np.ndarray
) -> None:
    width = hr.shape[1]
    valid = width - (TAPS - 1) * channels
    maps = np.empty((4, width))  # x, y, x² + y² and x·y of one image row
    ring = np.empty((TAPS, 4 * valid))  # the same of the last eleven rows, blurred across
    means = np.empty(4 * valid)
    similarity = np.empty(valid)
    for row in range(first, last + TAPS - 1):
        products(hr[row], sr[row], maps[0], maps[1], maps[2], maps[3])
        for m in range(4):
            blur_across(maps[m], channels, gaussian, ring[row % TAPS][m * valid : (m + 1) * valid])
        top = row - (TAPS - 1)
        if top >= first:
            blur_down(ring, top, gaussian, means)
            structural_similarity(
                means[:valid], means[valid : 2 * valid], means[2 * valid : 3 * valid], means[3 * valid :], similarity
            )
            sums[top] += similarity.sum()


@njit(nogil=True, cache=True)
def ssim_of_rows(
    hr: np.ndarray, sr: np.ndarray, channels: int, gaussian: np.ndarray, first: int, last: int, sums: np.ndarray
) -> None:
    """Add to ``sums[first:last]`` the sums of the SSIM map's rows; ``hr`` and ``sr`` are H×(W·channels).

    Row r of the map comes from the image rows r..r+10 and has (W − 10)·channels values.
    """
    valid = hr.shape[1] - (TAPS - 1) * channels
    for left in range(0, valid, STRIP):
        right = min(left + STRIP, valid) + (TAPS - 1) * channels
        add_strip(hr[:, left:right], sr[:, left:right], channels, gaussian, first, last, sums)
