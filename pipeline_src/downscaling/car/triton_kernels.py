"""The adaptive resampler on an NVIDIA GPU, in Triton: a program computes a few LR pixels with all of their taps.

As in :mod:`.fused` there are no intermediate results: kernels and offsets are read once, and HR through the cache.
``lanes`` is the number of taps, k·k, rounded up to a power of 2; ``block`` is the number of LR pixels of a program.
"""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS = 4  # LR pixels of a program

kernel: Callable[[Callable[..., Any]], Any] = triton.jit


@kernel
def _neighbours(position, length):  # type: ignore[no-untyped-def]
    """Return the two pixels beside each position, within the image, and its distance from the first one."""
    floor = tl.floor(position)
    first = floor.to(tl.int32)
    low = tl.minimum(tl.maximum(first, 0), length - 1)
    high = tl.minimum(tl.maximum(first + 1, 0), length - 1)
    return low, high, position - floor


@kernel
def _taps(  # type: ignore[no-untyped-def]
    down, across, pixels, h, w,
    scale: tl.constexpr, k: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Return the program's LR pixels and, for each tap, whether it exists, its index and its position in HR."""
    pixel = (tl.program_id(0).to(tl.int64) * block + tl.arange(0, block))[:, None]
    tap = tl.arange(0, lanes)[None, :]
    inside = (pixel < pixels) & (tap < k * k)
    index = pixel * (k * k) + tap
    image, y, x = pixel // (h * w), pixel // w % h, pixel % w
    row = (y.to(tl.float32) + 0.5) * scale - 0.5 + tap // k + scale * tl.load(down + index, mask=inside, other=0)
    column = (x.to(tl.float32) + 0.5) * scale - 0.5 + tap % k + scale * tl.load(across + index, mask=inside, other=0)
    return pixel, image, inside, index, row, column


@kernel
def _forward(  # type: ignore[no-untyped-def]
    hr, kernels, down, across, lr, pixels, h, w, height, width,
    scale: tl.constexpr, k: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    pixel, image, inside, index, row, column = _taps(down, across, pixels, h, w, scale, k, lanes, block)
    weight = tl.load(kernels + index, mask=inside, other=0)
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


@kernel
def _backward(  # type: ignore[no-untyped-def]
    grad, hr, kernels, down, across, kernels_grad, down_grad, across_grad, pixels, h, w, height, width,
    scale: tl.constexpr, k: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    pixel, image, inside, index, row, column = _taps(down, across, pixels, h, w, scale, k, lanes, block)
    weight = scale * tl.load(kernels + index, mask=inside, other=0)
    y0, y1, fy = _neighbours(row, height)
    x0, x1, fx = _neighbours(column, width)
    value = tl.zeros((block, lanes), tl.float32)
    by_row = tl.zeros((block, lanes), tl.float32)
    by_column = tl.zeros((block, lanes), tl.float32)
    for c in tl.static_range(3):
        plane = hr + (image * 3 + c) * height * width
        pixel_grad = tl.load(grad + pixel * 3 + c, mask=pixel < pixels, other=0)
        a = tl.load(plane + y0 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y0 * width + x1, mask=inside, other=0)
        above, slope_above = a + fx * (b - a), b - a
        a = tl.load(plane + y1 * width + x0, mask=inside, other=0)
        b = tl.load(plane + y1 * width + x1, mask=inside, other=0)
        below, slope_below = a + fx * (b - a), b - a
        value += pixel_grad * (above + fy * (below - above))
        by_row += pixel_grad * (below - above)
        by_column += pixel_grad * (slope_above + fy * (slope_below - slope_above))
    tl.store(kernels_grad + index, value, mask=inside)
    tl.store(down_grad + index, weight * by_row, mask=inside)
    tl.store(across_grad + index, weight * by_column, mask=inside)


def forward(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Resample as :func:`resampler.adaptive_resample`, of float32 RGB on a GPU."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    n, h, w, _ = taps[0].shape
    lr = taps[0].new_empty(n, h, w, 3)
    _launch(_forward, (hr.contiguous(), *taps, lr), (n, h, w), hr, scale)
    return lr.permute(0, 3, 1, 2)


def backward(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of kernels, down and across for the gradient of LR, N×3×h×w, all float32 on a GPU."""
    taps = [_by_pixel(x) for x in (kernels, down, across)]
    n, h, w, _ = taps[0].shape
    gradients = [torch.empty_like(taps[0]) for _ in range(3)]
    _launch(_backward, (_by_pixel(grad), hr.contiguous(), *taps, *gradients), (n, h, w), hr, scale)
    kernels_grad, down_grad, across_grad = (x.permute(0, 3, 1, 2) for x in gradients)
    return kernels_grad, down_grad, across_grad


def _launch(program: Any, tensors: tuple[Tensor, ...], shape: tuple[int, int, int], hr: Tensor, scale: int) -> None:
    n, h, w = shape
    k = 3 * scale + 1
    height, width = hr.shape[2:]
    program[(triton.cdiv(n * h * w, PIXELS),)](
        *tensors, n * h * w, h, w, height, width,
        scale=scale, k=k, lanes=triton.next_power_of_2(k * k), block=PIXELS,
    )  # fmt: skip


def _by_pixel(x: Tensor) -> Tensor:
    return x.detach().permute(0, 2, 3, 1).contiguous()
