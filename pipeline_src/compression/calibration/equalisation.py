"""Cross-layer equalisation: channels that share a quantisation scale get similar ranges (Nagel et al., ICCV 2019).

Each channel is multiplied by a factor, and the weights that read it are divided by it, so the float net stays the same.
Only ranges of activations are equalised, because the weights of each output channel have a scale of their own. Channels
that are concatenated with the input image have its scale, and are stretched over its range.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from pipeline_src.compression.calibration.running import run
from pipeline_src.graph.folding import RELUS, Conv2dArguments, constant, is_input_image, rectified

aten = torch.ops.aten

LARGEST_FACTOR = 100.0
STRETCHED = 170  # of a pixel's 255, to which the values of the calibration images reach: those of others are larger
SMALLEST_SHARE = 0.05  # of the largest channel's range: a channel of less is stretched as if it had this

Reader = tuple[Any, int]  # a node that is a convolution, and the first of its input channels that are read


def equalise(graph: fx.GraphModule, images: Sequence[np.ndarray]) -> None:
    """Equalise the channels of a prepared graph in place.

    Each channel is moved half of the way, as a factor, to the geometric mean of all channels that share its scale.
    Going all the way would make the weights that read it too unequal. What is concatenated with the input image goes
    all the way to the range of a pixel, because that scale is fixed. Ranges are those over all images: a channel that
    is 0 on the first few of them would otherwise be multiplied and exceed the range of all others on the next.

    Args:
        graph: One scale of a prepared net, with observers and fake quantisation off.
        images: LR, uint8 H×W×3.
    """
    widths: dict[fx.Node, int] = {}
    largest: dict[fx.Node, Tensor] = {}

    def record(node: fx.Node, result: Any) -> None:
        if isinstance(result, Tensor) and result.ndim == 4:
            widths[node] = result.shape[1]
            if node.target is aten.conv2d.default or node.target in RELUS:
                maxima = result.abs().amax((0, 2, 3))
                largest[node] = torch.maximum(maxima, largest.get(node, maxima))

    run(graph, images, record)
    readers_of = {node: _readers(node, widths) for node in largest if node.target is aten.conv2d.default}
    scalable = _scalable(graph, readers_of)
    for group in _groups_sharing_a_scale(graph, scalable):
        ranges = [largest[next(iter(conv.users)) if rectified(conv) else conv] for conv in group]
        nonzero = torch.cat(ranges)
        nonzero = nonzero[nonzero > 0]
        if len(nonzero):
            mean = nonzero.log().mean().exp()
            for conv, maxima in zip(group, ranges, strict=True):
                if _joins_the_image(conv):
                    factors = STRETCHED / maxima.clamp(min=SMALLEST_SHARE * nonzero.max().item())
                else:
                    factors = torch.where(maxima > 0, (mean / maxima).sqrt(), 1.0)
                    factors = factors.clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
                _multiply(graph, conv, scalable[conv], factors)


def _readers(node: Any, widths: Mapping[fx.Node, int], first: int = 0) -> list[Reader] | None:
    """Return the convolutions that read a node, directly or through concatenations; None if anything else reads it."""
    readers: list[Reader] = []
    for user in node.users:
        if user.target is aten.conv2d.default:
            readers.append((user, first))
            continue
        starts = [first]
        if user.target is aten.cat.default:
            parts: Any = user.args[0]
            offsets = np.cumsum([0, *(widths[part] for part in parts)])
            starts = [first + int(offset) for part, offset in zip(parts, offsets, strict=False) if part is node]
        elif user.op != "call_module" and user.target not in RELUS:
            return None
        for start in starts:
            further = _readers(user, widths, start)
            if further is None:
                return None
            readers += further
    return readers


def _joins_the_image(node: Any) -> bool:
    """Return whether a node is concatenated with the input image, through fake quantisation and ReLU or directly."""
    return any(
        any(is_input_image(part) for part in user.args[0])
        if user.target is aten.cat.default
        else (user.op == "call_module" or user.target in RELUS) and _joins_the_image(user)
        for user in node.users
    )


def _scalable(graph: fx.GraphModule, readers_of: Mapping[fx.Node, list[Reader] | None]) -> dict[fx.Node, list[Reader]]:
    """Return the convolutions that can be scaled, with their readers.

    Their weights and those of all their readers are trained and not shared with another convolution.
    """
    trained = {name for name, _ in graph.named_parameters()}

    def has_own_weights(node: Any) -> bool:
        conv = Conv2dArguments(*node.args)
        weight = conv.source()
        unshared = all(len(part.users) == 1 for part in (weight, conv.weight, conv.bias) if part is not None)
        return unshared and weight.target in trained

    return {
        conv: readers
        for conv, readers in readers_of.items()
        if readers and has_own_weights(conv) and all(has_own_weights(reader) for reader, _ in readers)
    }


def _groups_sharing_a_scale(graph: fx.GraphModule, convolutions: Iterable[fx.Node]) -> list[list[fx.Node]]:
    """Group convolutions whose results are concatenated, directly or through other concatenations."""
    groups = {conv: [conv] for conv in convolutions}
    for node in graph.graph.nodes:
        if node.target is aten.cat.default:
            joined = [groups[source] for part in node.args[0] for source in _sources(part) if source in groups]
            merged = list(dict.fromkeys(conv for group in joined for conv in group))
            groups |= dict.fromkeys(merged, merged)
    return list({id(group): group for group in groups.values()}.values())


def _sources(node: Any) -> list[fx.Node]:
    """Return the nodes whose values a node passes on, through fake quantisation, ReLUs and concatenations."""
    if node.target is aten.cat.default:
        return [source for part in node.args[0] for source in _sources(part)]
    if node.op == "call_module" or node.target in RELUS:
        return _sources(node.args[0])
    return [node]


def _multiply(graph: fx.GraphModule, node: Any, readers: Sequence[Reader], factors: Tensor) -> None:
    """Multiply the output channels of a convolution, and divide the weights that read them."""
    conv = Conv2dArguments(*node.args)
    constant(graph, conv.source()).data *= factors[:, None, None, None]
    if conv.bias is not None:
        constant(graph, conv.bias).data *= factors
    for reader, first in readers:
        conv = Conv2dArguments(*reader.args)
        weight = constant(graph, conv.source()).data
        inverse = torch.ones(weight.shape[1] * conv.groups)
        inverse[first : first + len(factors)] = 1 / factors
        by_output = inverse.view(conv.groups, -1).repeat_interleave(len(weight) // conv.groups, dim=0)
        weight *= by_output[:, :, None, None]
