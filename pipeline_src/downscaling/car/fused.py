"""The adaptive resampler on a CPU: gather, bilinear interpolation and the sum over the taps in one loop.

It keeps no intermediate results, so it needs memory only for the LR image and the gradients. The taps of an LR pixel
are contiguous, in the channels-last order that convolutions give, and so are the values of a pixel: R, G, B and a 0.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_src.imaging.bands import in_bands
from pipeline_src.imaging.compiled import compiled

HALF, ZERO, NO, FOUR = np.float32(0.5), np.float32(0), np.int32(0), np.int32(4)
PIXEL = np.uint64(4)  # unsigned, because numba tests whether a signed index counts from the end
# Without "reassoc", which would have taps gathered by vector instructions, slower than loads on many CPUs.
FAST = {"nnan", "nsz", "arcp", "contract"}


# Arguments of the loops. LR image: kernels, down, across, N×h×w×k² float32. HR image: N×(H+2)×(W+2)×4 float32, with a
# border of one pixel. rows, columns: k² each. start, stop: rows of all LR images. Gradients are written in place.
@compiled(cache=False, fastmath=FAST, error_model="numpy", inline="always")
def _positions(
    y: int, x: int, down: Any, across: Any, scale: Any, rows: Any, columns: Any, hr: Any, first: Any, fy: Any, fx: Any
) -> None:
    """Write for each tap of an LR pixel the index of the first of its four HR pixels, and its distance from it."""
    bottom, right, line = np.int32(hr.shape[0] - 2), np.int32(hr.shape[1] - 2), FOUR * np.int32(hr.shape[1])
    # Without the border of hr, HALF would be subtracted at the end.
    pixel_y, pixel_x = (np.float32(y) + HALF) * scale + HALF, (np.float32(x) + HALF) * scale + HALF
    for tap in range(len(rows)):
        ty = min(max(pixel_y + rows[tap] + scale * down[tap], ZERO), np.float32(bottom))
        tx = min(max(pixel_x + columns[tap] + scale * across[tap], ZERO), np.float32(right))
        y0 = min(max(np.int32(ty), NO), bottom)  # again, because of offsets that are NaN
        x0 = min(max(np.int32(tx), NO), right)
        fy[tap], fx[tap] = ty - np.float32(y0), tx - np.float32(x0)
        first[tap] = y0 * line + FOUR * x0


@compiled(nogil=True, fastmath=FAST, error_model="numpy")
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
            _positions(y, x, down[image, y, x], across[image, y, x], scale, rows, columns, hr[image], first, fy, fx)
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


@compiled(nogil=True, fastmath=FAST, error_model="numpy")
def _backward(
    grad: Any, hr: Any, kernels: Any, down: Any, across: Any, scale: Any, rows: Any, columns: Any, kernels_grad: Any,
    down_grad: Any, across_grad: Any, start: int, stop: int,
) -> None:  # fmt: skip
    _, h, w, taps = kernels.shape
    line = np.uint64(4 * hr.shape[2])
    for row in range(start, stop):
        image, y = row // h, row % h
        pixels = hr[image].reshape(-1)
        first, fy, fx = np.empty(taps, np.int32), np.empty(taps, np.float32), np.empty(taps, np.float32)
        slopes = np.empty((4, taps), np.float32)  # gradient times the colour of each of the four HR pixels
        for x in range(w):
            _positions(y, x, down[image, y, x], across[image, y, x], scale, rows, columns, hr[image], first, fy, fx)
            r, g, b = grad[image, y, x, 0], grad[image, y, x, 1], grad[image, y, x, 2]
            for tap in range(taps):
                i = np.uint64(first[tap])
                for corner in range(4):
                    j = i + np.uint64(corner % 2) * PIXEL + np.uint64(corner // 2) * line
                    slopes[corner, tap] = r * pixels[j] + g * pixels[j + np.uint64(1)] + b * pixels[j + np.uint64(2)]
            kernel = kernels[image, y, x]
            kernel_grad = kernels_grad[image, y, x]
            tap_down_grad, tap_across_grad = down_grad[image, y, x], across_grad[image, y, x]
            for tap in range(taps):
                above = slopes[0, tap] + fx[tap] * (slopes[1, tap] - slopes[0, tap])
                below = slopes[2, tap] + fx[tap] * (slopes[3, tap] - slopes[2, tap])
                left = slopes[0, tap] + fy[tap] * (slopes[2, tap] - slopes[0, tap])
                right = slopes[1, tap] + fy[tap] * (slopes[3, tap] - slopes[1, tap])
                kernel_grad[tap] = above + fy[tap] * (below - above)
                tap_down_grad[tap] = scale * kernel[tap] * (below - above)
                tap_across_grad[tap] = scale * kernel[tap] * (right - left)


@compiled(nogil=True)
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
    """Resample as :func:`resampler.adaptive_resample`, of float32 RGB on the CPU, on as many threads as torch has."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    lr = np.empty((*taps[0].shape[:3], hr.shape[1]), np.float32)
    _run(_forward, _pixels(hr), *taps, np.float32(scale), *_taps(scale), lr)
    return torch.from_numpy(lr).permute(0, 3, 1, 2)


def backward(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of kernels, down and across for the gradient of LR, N×3×h×w, all float32 on the CPU."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    gradients = [np.empty_like(taps[0]) for _ in range(3)]
    _run(_backward, _by_pixel(grad), _pixels(hr), *taps, np.float32(scale), *_taps(scale), *gradients)
    kernels_grad, down_grad, across_grad = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in gradients)
    return kernels_grad, down_grad, across_grad


def _run(loop: Any, *arrays: Any) -> None:
    """Run a loop over the rows of all LR images, on all threads; the last array is N×h×…."""
    n, h = arrays[-1].shape[:2]
    in_bands(lambda start, stop: loop(*arrays, start, stop), n * h, torch.get_num_threads())


def _taps(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each tap, flat, because a loop over all taps uses vectors better than one over a row."""
    k = np.arange(3 * scale + 1, dtype=np.float32)
    return np.repeat(k, len(k)), np.tile(k, len(k))


def _by_pixel(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().permute(0, 2, 3, 1).numpy())


def _pixels(hr: Tensor) -> np.ndarray:
    """Return HR as the loops take it: with a border of one pixel, and four values for each pixel."""
    n, _, height, width = hr.shape
    pixels = np.empty((n, height + 2, width + 2, 4), np.float32)
    rows = n * (height + 2)
    in_bands(partial(_with_border, hr.detach().numpy(), pixels), rows, torch.get_num_threads())
    return pixels
