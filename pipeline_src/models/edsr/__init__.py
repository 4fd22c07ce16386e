"""EDSR, a residual net without batch norm (Lim et al., CVPR Workshops 2017, arXiv 1707.02921)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import ClampPixels, FullPrecision, add_mean, one_scale, subtract_mean, upsampler
from pipeline_src.models.layers.plain import Layout, PlainStack, take, write, write_head, write_upsampler


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip.

    Args:
        channels: features of the input and of the output.
        residual_scale: factor of what the convolutions add; a small one keeps wide nets stable in training.
    """

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(), second)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W."""
        residual: Tensor = self.body(x)
        return x + (residual if self.residual_scale == 1 else residual * self.residual_scale)


class EDSR(nn.Module):
    """Residual blocks and a skip over all of them at the size of the LR image, then the upsampler.

    Args:
        scale: the factor by which the net upscales, 2, 3 or 4.
        channels: features of each convolution.
        blocks: number of residual blocks.
        residual_scale: factor of what a residual block adds.
    """

    def __init__(self, scale: int, channels: int, blocks: int, residual_scale: float) -> None:
        super().__init__()
        self.description = Description((scale,))
        self.sub_mean = FullPrecision(subtract_mean())
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *[ResidualBlock(channels, residual_scale) for _ in range(blocks)],
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.upscale = upsampler(scale, channels, relu=False)
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)
        self.add_mean = FullPrecision(add_mean())
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255 to N×3×(scale·H)×(scale·W); clamped to 0..255 in eval mode alone."""
        head: Tensor = self.head(self.sub_mean(x))
        sr: Tensor = self.clamp(self.add_mean(self.tail(self.upscale(head + self.body(head)))))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself.

        Raises:
            ValueError: for another scale.
        """
        return one_scale(self, scale)


def build(scales: list[int], channels: int = 64, blocks: int = 16, residual_scale: float = 1.0) -> SuperResolutionNet:
    """Return an untrained EDSR; the defaults are those of the published baseline.

    The large published net has 256 channels, 32 blocks and a residual scale of 0.1.

    Args:
        scales: the one factor by which the net upscales: 2, 3 or 4.
        channels: features of each convolution.
        blocks: number of residual blocks.
        residual_scale: factor of what a residual block adds.

    Raises:
        ValueError: for several scales, or another one.
    """
    if len(scales) != 1:
        raise ValueError(f"EDSR has one scale, not {scales}")
    return EDSR(scales[0], channels, blocks, residual_scale)


def grow(net: Any, plains: Sequence[PlainStack], images: Tensor) -> None:
    """Write plain nets into an untrained EDSR (:mod:`pipeline_src.models.growing`).

    A residual block computes the next layer in its inner channels, adds it, and takes the layer before away. If there
    are too few inner channels for that, the block before it adds those features that have channels of their own.

    Args:
        net: changed in place.
        plains: the plain nets.
        images: not needed.

    Raises:
        ValueError: if the plain nets are too wide or too deep.
    """
    *blocks, end = net.body
    layout = Layout(plains, net.head.out_channels)
    write_head(net.head, layout)
    unused = iter(blocks)
    for layer in range(layout.depth):
        old, new = layout.features(layer - 1), layout.features(layer)
        if len(old) + len(new) > layout.channels:
            _replace(next(unused, None), layout, layer, [channel for channel in new if channel not in old], [])
            new = [channel for channel in new if channel in old]
        _replace(next(unused, None), layout, layer, new, old)
    for block in unused:
        write(block.body[2], layout.used, torch.zeros_like(block.body[2].weight))
    scale = net.description.scales[0]
    weight, bias = layout.last(scale)
    pixels = range(len(weight))
    write(end, layout.used, torch.zeros_like(end.weight))
    write(end, pixels, weight, bias)
    in_place = torch.zeros(len(pixels), layout.channels, 3, 3)
    take(in_place, pixels, pixels)
    write_upsampler(net.upscale, net.tail, (in_place, torch.zeros(len(pixels))), scale)


def _replace(block: Any, layout: Layout, layer: int, new: list[int], old: list[int]) -> None:
    """Let a residual block add the channels ``new`` of a hidden layer, and take the channels ``old`` away."""
    if block is None or len(new) + len(old) > layout.channels:
        raise ValueError("the plain nets are too deep or too wide for this EDSR")
    first, _, second = block.body
    weight, bias = layout.hidden(layer)
    into, onto = torch.zeros_like(first.weight), torch.zeros_like(second.weight)
    into[: len(new)] = weight[new]
    added, removed = range(len(new)), range(len(new), len(new) + len(old))
    take(into, removed, old)
    biases = torch.zeros(layout.channels)
    biases[: len(new)] = bias[new]
    write(first, range(len(new) + len(old)), into, biases)
    take(onto, new, added, 1 / block.residual_scale)
    take(onto, old, removed, -1 / block.residual_scale)
    write(second, layout.used, onto)
