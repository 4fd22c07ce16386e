"""CARN and CARN-M, cascading residual nets (Ahn et al., ECCV 2018, arXiv 1803.08664)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import (
    ByScale,
    Cascade,
    ClampPixels,
    FullPrecision,
    add_mean,
    one_scale,
    subtract_mean,
    upsampler,
)
from pipeline_src.models.layers.plain import Layout, PlainStack, take, write, write_head, write_upsampler

CHANNELS = 64
STEPS = 3  # of each cascade: blocks in the net, residual units in a block


class ResidualUnit(nn.Module):
    """Two 3×3 convolutions and a skip.

    Args:
        mobile: whether the convolutions are grouped and a 1×1 convolution mixes the groups.
        groups: of the grouped convolutions.
    """

    def __init__(self, mobile: bool, groups: int) -> None:
        super().__init__()
        groups = groups if mobile else 1
        first, second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=groups) for _ in range(2))
        mixing = [nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1)] if mobile else []
        self.body = nn.Sequential(first, nn.ReLU(), second, *mixing)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W."""
        return torch.relu(self.body(x) + x)


class CARN(nn.Module):
    """A cascade of cascades at the size of the LR image, then an upsampler for each scale.

    Args:
        scales: the factors by which the net upscales.
        mobile: CARN-M, whose blocks have one residual unit that is used three times, with grouped convolutions.
        groups: of the upsamplers' convolutions, and in CARN-M of the residual units'.
    """

    def __init__(self, scales: list[int], mobile: bool, groups: int) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.sub_mean = FullPrecision(subtract_mean())
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        blocks = [
            Cascade([ResidualUnit(mobile, groups) for _ in range(1 if mobile else STEPS)], STEPS, CHANNELS)
            for _ in range(STEPS)
        ]
        self.body = Cascade(blocks, STEPS, CHANNELS)
        self.upscale = ByScale({scale: upsampler(scale, CHANNELS, groups) for scale in scales})
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1)
        self.add_mean = FullPrecision(add_mean())
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255, in the part of :meth:`at_scale`; clamped to 0..255 in eval mode alone."""
        features: Tensor = self.body(self.head(self.sub_mean(x)))
        sr: Tensor = self.clamp(self.add_mean(self.tail(self.upscale(features))))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the part of the net that upscales by ``scale``; its parameters are those of the net itself.

        Raises:
            ValueError: if the net lacks the scale.
        """
        return one_scale(self, scale)


def build(scales: list[int], mobile: bool = False, groups: int = 1) -> SuperResolutionNet:
    """Return an untrained CARN, or CARN-M.

    Args:
        scales: the factors by which the net upscales, among 2, 3 and 4.
        mobile: CARN-M.
        groups: of the upsamplers' convolutions, and in CARN-M of the residual units'.
    """
    return CARN(scales, mobile, groups)


def grow(net: Any, plains: Sequence[PlainStack], images: Tensor) -> None:
    """Write plain nets into an untrained CARN; a residual unit computes a layer (:mod:`pipeline_src.models.growing`).

    Args:
        net: changed in place.
        plains: the plain nets.
        images: not needed.

    Raises:
        ValueError: for CARN-M, or if the plain nets are too wide or too deep.
    """
    units = [unit for block in net.body.blocks for unit in block.blocks]
    if len(units) < STEPS**2:
        raise ValueError("CARN-M cannot hold plain nets, because its convolutions are grouped and its units shared")
    layout = Layout(plains, CHANNELS)
    layout.check_depth(len(units))
    write_head(net.head, layout)
    for layer, (first, _, second) in enumerate(unit.body for unit in units):
        if layer < layout.depth:
            unchanged = torch.zeros_like(first.weight)
            take(unchanged, layout.used, layout.used)
            write(first, layout.used, unchanged)
            weight, bias = layout.hidden(layer)
            write(second, layout.used, weight - unchanged, bias)  # the unit's skip adds its input again
        else:
            write(second, layout.used, torch.zeros_like(second.weight))
    for fusion in [fusion for cascade in (net.body, *net.body.blocks) for fusion in cascade.fusions]:
        weight = torch.zeros_like(fusion.weight)
        take(weight, range(CHANNELS), range(fusion.in_channels - CHANNELS, fusion.in_channels))
        write(fusion, range(CHANNELS), weight)
    for scale in net.description.scales:
        write_upsampler(net.upscale[str(scale)], net.tail, layout.last(scale), scale)
