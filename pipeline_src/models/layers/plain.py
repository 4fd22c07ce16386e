"""Plain nets, and how a larger net computes them in its channels (:mod:`pipeline_src.models.growing`).

Features and images are in 0..1 here: a convolution with ReLU scales with its input, so only its bias changes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline_src.models.layers import DIV2K_MEAN

Conv = tuple[Tensor, Tensor]  # weight, outputs×inputs×height×width, and bias


@dataclass(frozen=True)
class PlainStack:
    """A stack of 3×3 convolutions of RGB in 0..255: all but the last have a ReLU, the last one adds to the input.

    Attributes:
        hidden: the convolutions with ReLU, in order; the first one takes RGB.
        last: for each scale the convolution to the scale² output pixels of each input pixel.
    """

    hidden: Sequence[Any]
    last: dict[int, Any]


class Layout:
    """Plain nets side by side in the channels of a larger net: the features of each, and R, G and B as the last three.

    Args:
        plains: the nets.
        channels: of the larger net.

    Attributes:
        depth: number of hidden layers of the deepest plain net.
        channels: of the larger net.
        image: the channels of R, G and B.
        used: the channels of the features and the image.

    Raises:
        ValueError: if the plain nets are too wide.
    """

    def __init__(self, plains: Sequence[PlainStack], channels: int) -> None:
        self.plains = plains
        self.depth = max(len(plain.hidden) for plain in plains)
        self.channels = channels
        widths = [max(conv.out_channels for conv in plain.hidden) for plain in plains]
        self.begins = [sum(widths[:i]) for i in range(len(widths))]
        self.image = range(channels - 3, channels)
        self.used = [*range(sum(widths)), *self.image]
        if len(self.used) > channels:
            raise ValueError(f"the plain nets and the image need {len(self.used)} channels, and the net has {channels}")

    def check_depth(self, layers: int) -> None:
        """Raise ValueError if the plain nets have more hidden layers than the larger net can compute."""
        if self.depth > layers:
            raise ValueError(f"the plain nets have {self.depth} hidden layers, and the net can compute {layers}")

    def features(self, layer: int) -> list[int]:
        """Return the channels of all features after a hidden layer; none before the first one, −1."""
        found: list[int] = []
        for begin, plain in zip(self.begins, self.plains, strict=True):
            if layer >= 0:
                found += range(begin, begin + plain.hidden[min(layer, len(plain.hidden) - 1)].out_channels)
        return found

    def hidden(self, layer: int) -> Conv:
        """Return the convolution from all channels to all channels that computes a hidden layer of all plain nets.

        ReLU follows it. The image, and the features of nets that have ended, stay as they are.
        """
        weight, bias = torch.zeros(self.channels, self.channels, 3, 3), torch.zeros(self.channels)
        take(weight, self.image, self.image)
        for begin, plain in zip(self.begins, self.plains, strict=True):
            if layer >= len(plain.hidden):
                ended = range(begin, begin + plain.hidden[-1].out_channels)
                take(weight, ended, ended)
                continue
            conv = plain.hidden[layer]
            source = begin if layer else self.image[0]
            weight[begin : begin + conv.out_channels, source : source + conv.in_channels] = conv.weight.detach()
            bias[begin : begin + conv.out_channels] = conv.bias.detach() / 255
        return weight, bias

    def last(self, scale: int) -> Conv:
        """Return the convolution from all channels to the pixels: 3·scale² outputs, R, G and B of each phase."""
        begin, plain = next(pair for pair in zip(self.begins, self.plains, strict=True) if scale in pair[1].last)
        conv = plain.last[scale]
        weight = torch.zeros(conv.out_channels, self.channels, 3, 3)
        weight[:, begin : begin + conv.in_channels] = conv.weight.detach()
        take(weight, range(conv.out_channels), [*self.image] * scale**2)
        return weight, conv.bias.detach() / 255


def take(weight: Tensor, outputs: Sequence[int], inputs: Sequence[int], factor: float = 1) -> None:
    """Add to each of these outputs of a convolution the pixel itself, of the input at the same place of ``inputs``."""
    centre = weight.shape[-1] // 2
    for output, source in zip(outputs, inputs, strict=True):
        weight[output, source, centre, centre] += factor


def write(conv: Any, outputs: Iterable[int], weight: Tensor, bias: Tensor | None = None) -> None:
    """Write these outputs of a convolution; the others keep their initial weights.

    Args:
        conv: changed in place.
        outputs: which to write.
        weight: of the first outputs of ``conv`` or of all, for all inputs.
        bias: as ``weight``; None for 0.
    """
    for output in outputs:
        conv.weight.data[output] = weight[output]
        conv.bias.data[output] = 0 if bias is None else bias[output]


def write_head(head: Any, layout: Layout) -> None:
    """Let the first convolution, which takes RGB less DIV2K's mean, give the image in 0..1, and 0 for all features."""
    weight, bias = torch.zeros_like(head.weight), torch.zeros_like(head.bias)
    take(weight, layout.image, range(3))
    bias[list(layout.image)] = torch.tensor(DIV2K_MEAN)
    write(head, layout.used, weight, bias)


def write_upsampler(steps: Any, tail: Any, image: Conv, scale: int) -> None:
    """Write the last convolution into an upsampler (:func:`models.layers.upsampler`) and the convolution after it.

    The first step computes all pixels, a second one puts them in their places. A grouped upsampler computes the share
    of each group, which the tail adds. A share may be negative, so it passes the ReLU with an offset of 1, the whole
    range of pixels, which the tail takes away again.

    Args:
        steps: the steps of the upsampler.
        tail: the convolution from its features to RGB less DIV2K's mean.
        image: what :meth:`Layout.last` returned.
        scale: of the upsampler.

    Raises:
        ValueError: if a group has fewer channels than it has pixels to pass to the second step.
    """
    weight, bias = image
    groups = steps[0].phases[0].groups
    size, inner = tail.in_channels // groups, scale // steps[0].upscale.block
    if 3 * inner**2 > size:
        raise ValueError(f"an upsampler of {groups} groups of {size} channels cannot hold {3 * inner**2} pixel values")
    offset = 0 if groups == 1 else 1
    mix = torch.zeros_like(tail.weight)
    for group in range(groups):
        inputs = slice(group * size, (group + 1) * size)
        share_bias = offset + (bias if group == 0 else torch.zeros_like(bias))
        _write_pixels(steps[0], group * size, weight[:, inputs], share_bias, scale)
        for step in steps[1:]:
            _write_places(step, group * size)
        take(mix, range(3), range(group * size, group * size + 3))
    write(tail, range(3), mix, -torch.tensor(DIV2K_MEAN) - groups * offset)


def _write_pixels(step: Any, begin: int, weight: Tensor, bias: Tensor, scale: int) -> None:
    """Write the channels from ``begin`` of a step: for each phase, R, G and B of its pixels."""
    block = step.upscale.block
    inner = scale // block
    for phase in range(block**2):
        y, x = divmod(phase, block)
        pixels = [(y * inner + i) * scale + x * inner + j for i in range(inner) for j in range(inner)]
        values = [3 * pixel + colour for pixel in pixels for colour in range(3)]
        conv, outputs = _outputs(step, phase, begin, len(values))
        conv.weight.data[outputs], conv.bias.data[outputs] = weight[values], bias[values]


def _write_places(step: Any, begin: int) -> None:
    """Write the channels from ``begin`` of a step: for each phase the R, G and B that the step before has computed."""
    for phase in range(step.upscale.block**2):
        conv, outputs = _outputs(step, phase, begin, 3)
        inputs = range(3 * phase, 3 * phase + 3)  # of its group
        conv.weight.data[outputs], conv.bias.data[outputs] = 0, 0
        take(conv.weight.data, range(outputs.start, outputs.stop), inputs)


def _outputs(step: Any, phase: int, begin: int, count: int) -> tuple[Any, slice]:
    """Return the convolution of a phase, and ``count`` of its outputs from the channel ``begin`` of the phase."""
    if len(step.phases) > 1:
        return step.phases[phase], slice(begin, begin + count)
    conv = step.phases[0]
    first = phase * conv.out_channels // step.upscale.block**2 + begin
    return conv, slice(first, first + count)
