"""The adaptive resampler of CAR (Sun & Chen, IEEE TIP 2020, arXiv 1907.12904): one operator, computed in four ways.

The LR pixel (y, x) is the sum over taps (i, j) of their weight in the kernel times HR at

    (y + 0.5)·s − 0.5 + i − k//2 + s·down,   (x + 0.5)·s − 0.5 + j − k//2 + s·across

interpolated bilinearly between four pixels. HR is padded by k//2 before; beyond that its border pixels are repeated.
"""

import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def taps_of(scale: int) -> int:
    """Return the taps along each side of a kernel: 3·scale + 1, as in the published code; the paper says 3·scale."""
    return 3 * scale + 1


def adaptive_resample(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Resample HR with a kernel and offsets for each LR pixel.

    Gradients go to kernels and offsets and, as in the paper, none to HR. Float32 RGB is computed by the operator
    :func:`fused_resample`, on a CPU and, with Triton, on a GPU; everything else by :func:`reference`.

    Args:
        hr: N×C×(s·h + 2·(k//2))×(s·w + 2·(k//2)) float, already padded.
        kernels: N×k²×h×w.
        down: vertical offsets, N×k²×h×w in LR pixels; −1..1 in CAR.
        across: horizontal offsets, likewise.
        scale: the factor s by which it downscales.

    Returns:
        LR, N×C×h×w float.
    """
    resample = fused_resample if _loop_for(hr, kernels) else reference
    lr: Tensor = resample(hr.detach(), kernels, down, across, scale)
    return lr


def _loop_for(hr: Tensor, kernels: Tensor) -> ModuleType | None:
    """Return the module that computes the operator in one loop for these tensors, or None."""
    if hr.shape[1] != 3 or not hr.dtype == kernels.dtype == torch.float32:
        return None
    if hr.device.type == "cpu":
        from pipeline_src.downscaling.car import fused

        return fused
    if hr.is_cuda and importlib.util.find_spec("triton"):
        from pipeline_src.downscaling.car import triton_kernels

        return triton_kernels
    return None


@torch.library.custom_op("super_resolution::adaptive_resample", mutates_args=())
def fused_resample(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Resample as :func:`adaptive_resample`, of float32 RGB, as one operator that torch can trace and export."""
    lr: Tensor = _loop(hr, kernels).forward(hr, kernels, down, across, scale)
    return lr


@fused_resample.register_fake
def _(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    n, _, h, w = kernels.shape
    return hr.new_empty(n, h, w, hr.shape[1]).permute(0, 3, 1, 2)


@torch.library.custom_op("super_resolution::adaptive_resample_backward", mutates_args=())
def _fused_backward(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of kernels, down and across for the gradient of LR, N×3×h×w."""
    kernels_grad, down_grad, across_grad = _loop(hr, kernels).backward(grad, hr, kernels, down, across, scale)
    return kernels_grad, down_grad, across_grad


@_fused_backward.register_fake
def _(
    grad: Tensor, hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    n, taps, h, w = kernels.shape
    kernels_grad, down_grad, across_grad = (kernels.new_empty(n, h, w, taps).permute(0, 3, 1, 2) for _ in range(3))
    return kernels_grad, down_grad, across_grad


def _loop(hr: Tensor, kernels: Tensor) -> Any:
    loop = _loop_for(hr, kernels)
    if not loop:
        raise ValueError(f"the fused resampler takes float32 RGB on a CPU or a GPU, not {hr.dtype} on {hr.device}")
    return loop


def _context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (None, *_fused_backward(grad, *ctx.saved_tensors, ctx.scale), None)


fused_resample.register_autograd(_backward, setup_context=_context)


def reference(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Resample as :func:`adaptive_resample`, tap by tap in plain torch, for any dtype, device and channel count."""
    k = taps_of(scale)
    n, _, h, w = kernels.shape
    rows, columns = (_first_taps(length, scale, hr) for length in (h, w))
    lr = hr.new_zeros(n, hr.shape[1], h, w)
    for tap in range(k * k):
        y = rows[:, None] + tap // k + scale * down[:, tap]
        x = columns + tap % k + scale * across[:, tap]
        lr = lr + kernels[:, tap, None] * _bilinear(hr, y, x)
    return lr


def by_grid_sample(hr: Tensor, kernels: Tensor, down: Tensor, across: Tensor, scale: int) -> Tensor:
    """Resample with standard operators, for files; see :func:`adaptive_resample`.

    All taps are sampled as one image that is k times as high and wide as LR, so it takes k² times the memory of LR.
    """
    k = taps_of(scale)
    n, _, h, w = kernels.shape
    rows, columns = (_first_taps(length, scale, hr) for length in (h, w))
    taps = torch.arange(k, device=hr.device, dtype=hr.dtype)
    y = rows[:, None, None, None] + taps[:, None] + scale * _side_by_side(down, k).view(n, h, k, w, k).transpose(2, 3)
    x = columns[:, None, None] + taps + scale * _side_by_side(across, k).view(n, h, k, w, k).transpose(2, 3)
    positions = torch.stack([2 * x / (hr.shape[3] - 1) - 1, 2 * y / (hr.shape[2] - 1) - 1], dim=-1)
    grid = positions.transpose(2, 3).reshape(n, h * k, w * k, 2)
    sampled = functional.grid_sample(hr, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return k * k * functional.avg_pool2d(sampled * _side_by_side(kernels, k), k)


def _side_by_side(taps: Tensor, k: int) -> Tensor:
    """Return N×k²×h×w as N×1×(k·h)×(k·w)."""
    return functional.pixel_shuffle(taps, k)


def _first_taps(length: int, scale: int, like: Tensor) -> Tensor:
    """Return the position along a side of the padded HR of each LR pixel's first tap, without an offset."""
    return (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5) * scale - 0.5


def _bilinear(hr: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return HR at the positions (y, x), N×h×w each, interpolated; beyond the border its pixels are repeated."""
    n, c, height, width = hr.shape
    flat = hr.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        return flat.gather(2, index.flatten(1)[:, None].expand(n, c, -1)).view(n, c, *y.shape[1:])

    top, left = y.detach().floor().long(), x.detach().floor().long()
    fy, fx = (y - top)[:, None], (x - left)[:, None]
    above = torch.lerp(at(top, left), at(top, left + 1), fx.expand(n, c, *y.shape[1:]))
    below = torch.lerp(at(top + 1, left), at(top + 1, left + 1), fx.expand(n, c, *y.shape[1:]))
    return torch.lerp(above, below, fy.expand_as(above))
