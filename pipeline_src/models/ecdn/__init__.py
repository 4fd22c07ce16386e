"""ECDN and ECDN-M, CARN with densely connected blocks (a course report of 2022, "Efficient Cascading Dense Network").

As published, but for three things that were wrong: batch norm never takes the statistics of the images it is evaluated
on, and has its own for each scale; ECDN-M computes of its up-and-down steps only what is kept; no parameter is unused.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description
from pipeline_src.models.layers import (
    ByScale,
    Cascade,
    ClampPixels,
    FullPrecision,
    ScaleBatchNorm,
    add_mean,
    one_scale,
    subtract_mean,
    upsampler,
)

CHANNELS = 64
BLOCKS = 3
GROWTH = 16


class NormConv(nn.Module):
    """Batch norm, ReLU, convolution."""

    def __init__(self, scales: list[int], conv: nn.Conv2d) -> None:
        super().__init__()
        self.norm = ScaleBatchNorm(conv.in_channels, scales)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.relu(self.norm(x)))


class DenseBlock(nn.Module):
    """DenseNet-BC's: each layer takes the block's input and what all before it gave; a 1×1 convolution ends it."""

    def __init__(self, scales: list[int], depth: int, groups: int) -> None:
        super().__init__()
        widths = [CHANNELS + i * GROWTH for i in range(depth + 1)]
        self.layers = nn.ModuleList(NormConv(scales, nn.Conv2d(i, o - i, 3, padding=1)) for i, o in pairwise(widths))
        self.transition = NormConv(scales, nn.Conv2d(widths[-1], CHANNELS, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return self.transition(x)


def up_and_down(x: Tensor, steps: Any) -> Tensor:
    """What ``steps``, an upsampler, makes of the features, and of that each scale-th pixel: x's own size again.

    Of the last step only the first of the block² pixels is computed, and only where it is kept.
    """
    *first, last = steps
    stride = 1
    for step in first:
        x, stride = step(x), stride * step.upscale.block
    kept = last.phases[0]
    return torch.relu(functional.conv2d(x, kept.weight, kept.bias, stride, padding=1, groups=kept.groups))


class ECDN(nn.Module):
    """CARN's cascade of dense blocks, then an upsampler for each scale.

    ECDN-M (``mobile``) has shorter blocks, and between them takes the features through the upsampler and down again.
    """

    def __init__(self, scales: list[int], mobile: bool, groups: int) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.mobile = mobile
        self.sub_mean = FullPrecision(subtract_mean())
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        depth, transition_groups = (4, groups) if mobile else (8, 1)
        blocks = [DenseBlock(scales, depth, transition_groups) for _ in range(BLOCKS)]
        self.body = Cascade(blocks, BLOCKS, CHANNELS)
        self.upscale = ByScale({scale: upsampler(scale, CHANNELS, groups, apart=mobile) for scale in scales})
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1)
        self.add_mean = FullPrecision(add_mean())
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        between = (lambda features: up_and_down(features, self.upscale)) if self.mobile else None
        features = self.body(self.head(self.sub_mean(x)), between)
        return self.clamp(self.add_mean(self.tail(self.upscale(features))))

    def at_scale(self, scale: int) -> nn.Module:
        """The net of one of its scales: all of it but the upsamplers and the statistics of the others."""
        return one_scale(self, scale)


def build(scales: list[int], mobile: bool = False, groups: int = 4) -> ECDN:
    """ECDN, or ECDN-M if ``mobile``; ``groups`` of the upsamplers' convolutions, in ECDN-M of the transitions' too."""
    return ECDN(scales, mobile, groups)
