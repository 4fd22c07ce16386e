"""ECDN and ECDN-M, CARN with densely connected blocks (a course report of 2022, "Efficient Cascading Dense Network").

Three mistakes of the published code are corrected. Batch norm is evaluated with running statistics, of each scale, and
not with those of the evaluated images. Of the up-and-down steps of ECDN-M only the kept pixels are computed. There are
no unused parameters.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

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
from pipeline_src.models.layers.batch_norm import ScaleBatchNorm, keep_features
from pipeline_src.models.layers.plain import Layout, PlainStack, take, write, write_head, write_upsampler

CHANNELS = 64
BLOCKS = 3
GROWTH = 16


class NormConv(nn.Module):
    """Batch norm, ReLU and a convolution.

    Args:
        scales: of the net.
        conv: the convolution.
    """

    def __init__(self, scales: list[int], conv: nn.Conv2d) -> None:
        super().__init__()
        self.norm = ScaleBatchNorm(conv.in_channels, scales)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return features, N×outputs×H×W, of N×inputs×H×W."""
        features: Tensor = self.conv(torch.relu(self.norm(x)))
        return features


class DenseBlock(nn.Module):
    """The dense block of DenseNet-BC (Huang et al., CVPR 2017, arXiv 1608.06993).

    Each layer takes the block's input and the outputs of all layers before it. A 1×1 convolution ends the block.

    Args:
        scales: of the net.
        depth: number of layers.
        groups: of the last convolution.
    """

    def __init__(self, scales: list[int], depth: int, groups: int) -> None:
        super().__init__()
        widths = [CHANNELS + i * GROWTH for i in range(depth + 1)]
        self.layers = nn.ModuleList(NormConv(scales, nn.Conv2d(i, o - i, 3, padding=1)) for i, o in pairwise(widths))
        self.transition = NormConv(scales, nn.Conv2d(widths[-1], CHANNELS, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        features: Tensor = self.transition(x)
        return features


def up_and_down(x: Tensor, steps: Any) -> Tensor:
    """Return every scale-th pixel of the upscaled features, so that they have the same size again.

    Of the last step only the first of the block² phases is computed, and only where it is kept.

    Args:
        x: N×channels×H×W.
        steps: the steps of an upsampler, :class:`pipeline_src.models.layers.Upscale`.

    Returns:
        N×channels×H×W.
    """
    *first, last = steps
    stride = 1
    for step in first:
        x, stride = step(x), stride * step.upscale.block
    kept_phase = last.phases[0]
    kept = functional.conv2d(x, kept_phase.weight, kept_phase.bias, stride, padding=1, groups=kept_phase.groups)
    return torch.relu(kept)


class ECDN(nn.Module):
    """CARN's cascade of dense blocks, then an upsampler for each scale.

    Args:
        scales: the factors by which the net upscales.
        mobile: ECDN-M, which has shorter blocks, and between them upscales the features and takes them down again.
        groups: of the upsamplers' convolutions, and in ECDN-M of the blocks' last convolutions.
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
        self.upscale = ByScale({scale: upsampler(scale, CHANNELS, groups, split_phases=mobile) for scale in scales})
        self.tail = nn.Conv2d(CHANNELS, 3, 3, padding=1)
        self.add_mean = FullPrecision(add_mean())
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255, in the part of :meth:`at_scale`; clamped to 0..255 in eval mode alone."""
        between = (lambda features: up_and_down(features, self.upscale)) if self.mobile else None
        features: Tensor = self.body(self.head(self.sub_mean(x)), between)
        sr: Tensor = self.clamp(self.add_mean(self.tail(self.upscale(features))))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the part of the net that upscales by ``scale``; its parameters are those of the net itself.

        Raises:
            ValueError: if the net lacks the scale.
        """
        return one_scale(self, scale)


def build(scales: list[int], mobile: bool = False, groups: int = 4) -> SuperResolutionNet:
    """Return an untrained ECDN, or ECDN-M.

    Args:
        scales: the factors by which the net upscales, among 2, 3 and 4.
        mobile: ECDN-M.
        groups: of the upsamplers' convolutions, and in ECDN-M of the blocks' last convolutions.
    """
    return ECDN(scales, mobile, groups)


def grow(net: Any, plains: Sequence[PlainStack], images: Tensor) -> None:
    """Write plain nets into an untrained ECDN (:mod:`pipeline_src.models.growing`).

    A few layers of a dense block, as many as have the features, compute a layer of the plain nets.

    Args:
        net: changed in place.
        plains: the plain nets.
        images: N×3×H×W RGB in 0..255, on whose features batch norm takes its statistics.

    Raises:
        ValueError: for ECDN-M, or if the plain nets are too wide or too deep.
    """
    if net.mobile:
        raise ValueError("ECDN-M cannot hold plain nets, because it upscales its features with grouped convolutions")
    layout = Layout(plains, CHANNELS)
    features = range(len(layout.used) - len(layout.image))
    depth = len(net.body.blocks[0].layers)
    share = -(-len(features) // GROWTH)  # layers of a block that compute a layer of the plain nets
    layout.check_depth(BLOCKS * (depth // share))
    write_head(net.head, layout)
    layers = iter(range(BLOCKS * depth))
    for block, fusion in zip(net.body.blocks, net.body.fusions, strict=True):
        _write_block(block, layout, {first: next(layers) for first in range(0, depth - share + 1, share)})
        mix, end = torch.zeros_like(fusion.weight), fusion.in_channels - CHANNELS
        take(mix, features, range(end, end + len(features)))
        take(mix, layout.image, layout.image)  # of the head, where no batch norm has changed it
        write(fusion, layout.used, mix)
    for scale in net.description.scales:
        write_upsampler(net.upscale[str(scale)], net.tail, layout.last(scale), scale)
    keep_features(net, net.at_scale(net.description.scales[0]), images)


def _write_block(block: Any, layout: Layout, layers: dict[int, int]) -> None:
    """Write layers of the plain nets into a dense block; ``layers``: by the first of its layers that compute one."""
    places = {channel: channel for channel in layout.used}  # where a channel is among the inputs of the next layers
    for first, layer in layers.items():
        computed = layout.features(layer)
        weight, bias = layout.hidden(layer)
        for i, channel in enumerate(computed):
            conv, output = block.layers[first + i // GROWTH].conv, i % GROWTH
            conv.weight.data[output], conv.bias.data[output] = 0, bias[channel]
            conv.weight.data[output, [*places.values()]] = weight[channel, [*places]]
        places |= {channel: CHANNELS + first * GROWTH + i for i, channel in enumerate(computed)}
    end = torch.zeros_like(block.transition.conv.weight)
    take(end, [*places], [*places.values()])
    write(block.transition.conv, layout.used, end)
