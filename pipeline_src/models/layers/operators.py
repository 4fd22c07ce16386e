"""Custom operators: depth-to-space, space-to-depth and the mirrored border.

As operators of their own they become one node of an exported graph, which a format can write as the DEPTH_TO_SPACE or
the SPACE_TO_DEPTH of its runtime. Composed of torch operators they would be chains of reshapes, transposes and slices.
"""

from typing import Any

import torch
from torch import Tensor, nn

NHWC = torch.channels_last


@torch.library.custom_op("super_resolution::depth_to_space", mutates_args=())
def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Rearrange channels to pixels, in the order of ONNX's mode DCR and of TensorFlow: channel = phase·C + c.

    Args:
        x: N×(block²·C)×H×W.
        block: height and width of the block of pixels that the channels of one pixel become.

    Returns:
        N×C×(block·H)×(block·W).
    """
    n, c, h, w = x.shape
    colours = c // block**2
    # In NHWC order, as the convolutions around it are: one copy of whole runs of colours.
    blocks = x.permute(0, 2, 3, 1).reshape(n, h, w, block, block, colours).transpose(2, 3)
    return blocks.reshape(n, h * block, w * block, colours).permute(0, 3, 1, 2).contiguous(memory_format=NHWC)


@depth_to_space.register_fake
def _(x: Tensor, block: int) -> Tensor:
    n, c, h, w = x.shape
    return _empty(x, n, c // block**2, h * block, w * block)


@torch.library.custom_op("super_resolution::space_to_depth", mutates_args=())
def space_to_depth(y: Tensor, block: int) -> Tensor:
    """Rearrange pixels to channels, the inverse of :func:`depth_to_space`.

    Args:
        y: N×C×(block·H)×(block·W).
        block: height and width of the block of pixels that the channels of one pixel are made of.

    Returns:
        N×(block²·C)×H×W.
    """
    n, c, h, w = y.shape
    blocks = y.permute(0, 2, 3, 1).reshape(n, h // block, block, w // block, block, c).transpose(2, 3)
    channels = blocks.reshape(n, h // block, w // block, c * block**2)
    return channels.permute(0, 3, 1, 2).contiguous(memory_format=NHWC)


@space_to_depth.register_fake
def _(y: Tensor, block: int) -> Tensor:
    n, c, h, w = y.shape
    return _empty(y, n, c * block**2, h // block, w // block)


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=NHWC)


def _remember_block(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.block = inputs[1]


depth_to_space.register_autograd(
    lambda ctx, grad: (space_to_depth(grad, ctx.block), None),
    setup_context=_remember_block,
)
space_to_depth.register_autograd(
    lambda ctx, grad: (depth_to_space(grad, ctx.block), None),
    setup_context=_remember_block,
)


class DepthToSpace(nn.Module):
    """:func:`depth_to_space` as a layer."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange N×(block²·C)×H×W to N×C×(block·H)×(block·W)."""
        pixels: Tensor = depth_to_space(x, self.block)
        return pixels


@torch.library.custom_op("super_resolution::mirror_pad", mutates_args=())
def mirror_pad(x: Tensor, pad: int) -> Tensor:
    """Mirror the border with the border pixel repeated, as MATLAB and TFLite's MIRROR_PAD in its mode SYMMETRIC do.

    Args:
        x: N×C×H×W; sides shorter than ``pad`` are mirrored repeatedly.
        pad: rows and columns to add at each side.

    Returns:
        N×C×(H+2·pad)×(W+2·pad).
    """
    rows = x.index_select(2, _mirrored(x.shape[2], pad, x.device))
    return rows.index_select(3, _mirrored(x.shape[3], pad, x.device)).contiguous(memory_format=NHWC)


@mirror_pad.register_fake
def _(x: Tensor, pad: int) -> Tensor:
    n, c, h, w = x.shape
    return _empty(x, n, c, h + 2 * pad, w + 2 * pad)


def _mirrored(length: int, pad: int, device: torch.device) -> Tensor:
    """Return the index of the pixel that each row or column of the padded image repeats."""
    pixels = torch.arange(-pad, length + pad, device=device) % (2 * length)
    return torch.minimum(pixels, 2 * length - 1 - pixels)


def _mirror_pad_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    n, c, h, w = ctx.shape
    rows = grad.new_zeros(n, c, h, grad.shape[3]).index_add(2, _mirrored(h, ctx.pad, grad.device), grad)
    return rows.new_zeros(n, c, h, w).index_add(3, _mirrored(w, ctx.pad, grad.device), rows), None


def _mirror_pad_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.shape, ctx.pad = inputs[0].shape, inputs[1]


mirror_pad.register_autograd(_mirror_pad_backward, setup_context=_mirror_pad_context)
