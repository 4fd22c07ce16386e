"""The adaptive resampler on a CPU: gather, bilinear interpolation and the sum over the taps in one loop.

Nothing is kept between: memory is that of the LR image and of the gradients. The taps of an LR pixel lie one behind the
other, as convolutions in channels-last order give them, and so do the values of a pixel: R, G, B and a 0.
"""

from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from pipeline_src.imaging.bands import in_bands

HALF, ZERO, NO, FOUR = np.float32(0.5), np.float32(0), np.int32(0), np.int32(4)
PIXEL = np.uint64(4)  # unsigned, because numba looks whether a signed index counts from the end
# Not reordering of sums: then taps would be gathered by vector instructions, slower than loads on many CPUs.
FAST = {"nnan", "nsz", "arcp", "contract"}


@numba.njit(fastmath=FAST, error_model="numpy", inline="always")
def _places(
    y: int, x: int, down: Any, across: Any, scale: Any, rows: Any, columns: Any, hr: Any, first: Any, fy: Any, fx: Any
) -> None:
    """Of each tap of an LR pixel the first of its four neighbours in HR, and how far beyond it the tap is."""
    bottom, right, line = np.int32(hr.shape[0] - 2), np.int32(hr.shape[1] - 2), FOUR * np.int32(hr.shape[1])
    of_y, of_x = (np.float32(y) + HALF) * scale + HALF, (np.float32(x) + HALF) * scale + HALF  # 1 more: hr has a border
    for tap in range(len(rows)):
        ty = min(max(of_y + rows[tap] + scale * down[tap], ZERO), np.float32(bottom))
        tx = min(max(of_x + columns[tap] + scale * across[tap], ZERO), np.float32(right))
        y0 = min(max(np.int32(ty), NO), bottom)  # again, for an offset that is not a number
        x0 = min(max(np.int32(tx), NO), right)
        fy[tap], fx[tap] = ty - np.float32(y0), tx - np.float32(x0)
        first[tap] = y0 * line + FOUR * x0


@numba.njit(nogil=True, fastmath=FAST, cache=True, error_model="numpy")
def _forward(
    hr: Any, kernels: Any, down: Any, across: Any, scale: Any, rows: Any, columns: Any, lr: Any, start: int, stop: int
) -> None:
    _, h, w, taps = kernels.shape
    line = np.uint64(4 * hr.shape[2])
    for row in range(start, stop):
        image, y = row // h, row % h
        pixels = hr[image].reshape(-1)
        first, fy, fx = np.empty(taps, np.int32), np.empty(taps, np.float32), np.empty(taps, np.float32)
        for x in range(w):
            _places(y, x, down[image, y, x], across[image, y, x], scale, rows, columns, hr[image], first, fy, fx)
            kernel = kernels[image, y, x]
            r = g = b = ZERO
            for tap in range(taps):
                low = kernel[tap] * fy[tap]
                high = kernel[tap] - low
                wb, wd = high * fx[tap], low * fx[tap]
                wa, wc = high - wb, low - wd
                i = np.uint64(first[tap])
                j, k, m = i + PIXEL, i + line, i + line + PIXEL
                r += wa * pixels[i] + wb * pixels[j] + wc * pixels[k] + wd * pixels[m]
                i, j, k, m = i + np.uint64(1), j + np.uint64(1), k + np.uint64(1), m + np.uint64(1)
                g += wa * pixels[i] + wb * pixels[j] + wc * pixels[k] + wd * pixels[m]
                i, j, k, m = i + np.uint64(1), j + np.uint64(1), k + np.uint64(1), m + np.uint64(1)
                b += wa * pixels[i] + wb * pixels[j] + wc * pixels[k] + wd * pixels[m]
            lr[image, y, x, 0], lr[image, y, x, 1], lr[image, y, x, 2] = r, g, b


@numba.njit(nogil=True, fastmath=FAST, cache=True, error_model="numpy")
def _backward(
    grad: Any, hr: Any, kernels: Any, down: Any, across: Any, scale: Any, rows: Any, columns: Any, of_kernels: Any,
    of_down: Any, of_across: Any, start: int, stop: int,
) -> None:  # fmt: skip
    _, h, w, taps = kernels.shape
    line = np.uint64(4 * hr.shape[2])
    for row in range(start, stop):
        image, y = row // h, row % h
        pixels = hr[image].reshape(-1)
        first, fy, fx = np.empty(taps, np.int32), np.empty(taps, np.float32), np.empty(taps, np.float32)
        along = np.empty((4, taps), np.float32)  # the gradient along each neighbour's colour
        for x in range(w):
            _places(y, x, down[image, y, x], across[image, y, x], scale, rows, columns, hr[image], first, fy, fx)
            r, g, b = grad[image, y, x, 0], grad[image, y, x, 1], grad[image, y, x, 2]
            for tap in range(taps):
                i = np.uint64(first[tap])
                for corner in range(4):
                    j = i + np.uint64(corner % 2) * PIXEL + np.uint64(corner // 2) * line
                    along[corner, tap] = r * pixels[j] + g * pixels[j + np.uint64(1)] + b * pixels[j + np.uint64(2)]
            kernel = kernels[image, y, x]
            to_kernel, to_down, to_across = of_kernels[image, y, x], of_down[image, y, x], of_across[image, y, x]
            for tap in range(taps):
                above = along[0, tap] + fx[tap] * (along[1, tap] - along[0, tap])
                below = along[2, tap] + fx[tap] * (along[3, tap] - along[2, tap])
                left = along[0, tap] + fy[tap] * (along[2, tap] - along[0, tap])
                right = along[1, tap] + fy[tap] * (along[3, tap] - along[1, tap])
                to_kernel[tap] = above + fy[tap] * (below - above)
                to_down[tap] = scale * kernel[tap] * (below - above)
                to_across[tap] = scale * kernel[tap] * (right - left)


@numba.njit(nogil=True, cache=True)
def _with_border(hr: Any, pixels: Any, start: int, stop: int) -> None:
    _, _, height, width = hr.shape
    for row in range(start, stop):
        image, y = row // (height + 2), row % (height + 2)
        from_y = min(max(y - 1, 0), height - 1)
        for x in range(width + 2):
            from_x = min(max(x - 1, 0), width - 1)
            for colour in range(3):
                pixels[image, y, x, colour] = hr[image, colour, from_y, from_x]
            pixels[image, y, x, 3] = 0


def forward(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """As ``resampler.adaptive_resample``: float32, three channels, on the CPU; on as many threads as torch has."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    lr = np.empty((*taps[0].shape[:3], hr.shape[1]), np.float32)
    _run(_forward, _pixels(hr), *taps, np.float32(scale), *_taps(scale), lr)
    return torch.from_numpy(lr).permute(0, 3, 1, 2)


def backward(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``resampler.adaptive_resample_backward``, under the same conditions."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    gradients = [np.empty_like(taps[0]) for _ in range(3)]
    _run(_backward, _by_pixel(grad), _pixels(hr), *taps, np.float32(scale), *_taps(scale), *gradients)
    of_kernels, of_down, of_across = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in gradients)
    return of_kernels, of_down, of_across


def _run(loop: Any, *arrays: Any) -> None:
    """A loop over the rows of all LR images, which its last array has a row of each of."""
    n, h = arrays[-1].shape[:2]
    in_bands(lambda start, stop: loop(*arrays, start, stop), n * h, torch.get_num_threads())


def _taps(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each tap, in one loop over which more of them fit into a vector than over a row of them."""
    k = np.arange(3 * scale + 1, dtype=np.float32)
    return np.repeat(k, len(k)), np.tile(k, len(k))


def _by_pixel(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().permute(0, 2, 3, 1).numpy())


def _pixels(hr: Tensor) -> np.ndarray:
    """HR as its loops take it: a border of one pixel around, four values a pixel."""
    n, _, height, width = hr.shape
    pixels = np.empty((n, height + 2, width + 2, 4), np.float32)
    rows = n * (height + 2)
    in_bands(partial(_with_border, hr.detach().numpy(), pixels), rows, torch.get_num_threads())
    return pixels
