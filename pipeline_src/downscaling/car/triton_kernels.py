"""The adaptive resampler on an NVIDIA GPU, in Triton: a program has a few LR pixels with all of their taps.

Nothing is kept between, as in :mod:`.fused`: each tap's kernel and offsets are read once, and HR through the cache.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS = 4  # of LR in a program


@triton.jit
def _neighbours(position, length):  # type: ignore[no-untyped-def]
    """The two neighbours of positions, within the image, and how far they are from the first to the second."""
    floor = tl.floor(position)
    first = floor.to(tl.int32)
    low = tl.minimum(tl.maximum(first, 0), length - 1)
    high = tl.minimum(tl.maximum(first + 1, 0), length - 1)
    return low, high, position - floor


@triton.jit
def _taps(  # type: ignore[no-untyped-def]
    down, across, pixels, h, w,
    SCALE: tl.constexpr, K: tl.constexpr, TAPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """The program's LR pixels and their images; of each tap whether there is one, where its values lie, and where in
    HR it falls."""
    pixel = (tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS))[:, None]
    tap = tl.arange(0, TAPS)[None, :]
    inside = (pixel < pixels) & (tap < K * K)
    place = pixel * (K * K) + tap
    image, y, x = pixel // (h * w), pixel // w % h, pixel % w
    row = (y.to(tl.float32) + 0.5) * SCALE - 0.5 + tap // K + SCALE * tl.load(down + place, mask=inside, other=0)
    column = (x.to(tl.float32) + 0.5) * SCALE - 0.5 + tap % K + SCALE * tl.load(across + place, mask=inside, other=0)
    return pixel, image, inside, place, row, column


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    hr, kernels, down, across, lr, pixels, h, w, height, width,
    SCALE: tl.constexpr, K: tl.constexpr, TAPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    pixel, image, inside, place, row, column = _taps(down, across, pixels, h, w, SCALE, K, TAPS, PIXELS)
    weight = tl.load(kernels + place, mask=inside, other=0)
    y0, y1, fy = _neighbours(row, height)
    x0, x1, fx = _neighbours(column, width)
    for c in tl.static_range(3):
        plane = hr + (image * 3 + c) * height * width
        a = tl.load(plane + y0 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y0 * width + x1, mask=inside, other=0)
        above = a + fx * (b - a)
        a = tl.load(plane + y1 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y1 * width + x1, mask=inside, other=0)
        below = a + fx * (b - a)
        total = tl.sum(weight * (above + fy * (below - above)), axis=1)[:, None]
        tl.store(lr + pixel * 3 + c, total, mask=pixel < pixels)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    grad, hr, kernels, down, across, of_kernels, of_down, of_across, pixels, h, w, height, width,
    SCALE: tl.constexpr, K: tl.constexpr, TAPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    pixel, image, inside, place, row, column = _taps(down, across, pixels, h, w, SCALE, K, TAPS, PIXELS)
    weight = SCALE * tl.load(kernels + place, mask=inside, other=0)
    y0, y1, fy = _neighbours(row, height)
    x0, x1, fx = _neighbours(column, width)
    value = tl.zeros((PIXELS, TAPS), tl.float32)
    by_row = tl.zeros((PIXELS, TAPS), tl.float32)
    by_column = tl.zeros((PIXELS, TAPS), tl.float32)
    for c in tl.static_range(3):
        plane = hr + (image * 3 + c) * height * width
        of_pixel = tl.load(grad + pixel * 3 + c, mask=pixel < pixels, other=0)
        a = tl.load(plane + y0 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y0 * width + x1, mask=inside, other=0)
        above, slope_above = a + fx * (b - a), b - a
        a = tl.load(plane + y1 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y1 * width + x1, mask=inside, other=0)
        below, slope_below = a + fx * (b - a), b - a
        value += of_pixel * (above + fy * (below - above))
        by_row += of_pixel * (below - above)
        by_column += of_pixel * (slope_above + fy * (slope_below - slope_above))
    tl.store(of_kernels + place, value, mask=inside)
    tl.store(of_down + place, weight * by_row, mask=inside)
    tl.store(of_across + place, weight * by_column, mask=inside)


def forward(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """As ``resampler.adaptive_resample``: float32, three channels, on CUDA."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    n, h, w, _ = taps[0].shape
    lr = taps[0].new_empty(n, h, w, 3)
    _launch(_forward, (hr.contiguous(), *taps, lr), (n, h, w), hr, scale)
    return lr.permute(0, 3, 1, 2)


def backward(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``resampler.adaptive_resample_backward``, under the same conditions."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    n, h, w, _ = taps[0].shape
    gradients = [torch.empty_like(taps[0]) for _ in range(3)]
    _launch(_backward, (_by_pixel(grad), hr.contiguous(), *taps, *gradients), (n, h, w), hr, scale)
    of_kernels, of_down, of_across = (x.permute(0, 3, 1, 2) for x in gradients)
    return of_kernels, of_down, of_across


def _launch(kernel: Any, tensors: tuple[Tensor, ...], shape: tuple[int, int, int], hr: Tensor, scale: int) -> None:
    n, h, w = shape
    k = 3 * scale + 1
    height, width = hr.shape[2:]
    kernel[(triton.cdiv(n * h * w, PIXELS),)](
        *tensors, n * h * w, h, w, height, width,
        SCALE=scale, K=k, TAPS=triton.next_power_of_2(k * k), PIXELS=PIXELS,
    )  # fmt: skip


def _by_pixel(x: Tensor) -> Tensor:
    return x.detach().permute(0, 2, 3, 1).contiguous()
