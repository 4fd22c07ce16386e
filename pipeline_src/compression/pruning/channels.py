"""Which channels of a net depend on each other: a filter can only be removed with all that is added to it or reads it.

The dependencies are read from the graph of every scale. They cover sums, concatenations, depth-to-space, grouped
convolutions, weights that are used several times, and weights that scales share.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from pipeline_src.errors import UserError
from pipeline_src.graph.folding import RELUS, SUMS, Conv2dArguments

aten = torch.ops.aten
own = torch.ops.super_resolution

# Operators that work on each channel by itself.
CHANNELWISE = (
    *RELUS,
    aten.clamp.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_bilinear2d.vec,
    own.mirror_pad.default,
)

Filter = tuple[str, int]  # the name of a convolution's weights, and the index of one of its filters
Block = tuple[str, str, int]  # a group of a convolution: the name of the weights, "in" or "out", index of the group


@dataclass
class ConvChannels:
    """The channels of a convolution, as ids of :class:`Channels`.

    Attributes:
        groups: Groups that are convolved independently.
        outputs: Id of the channel that each filter makes, O values.
        inputs: Ids of the channels that the convolution reads, I values.
    """

    groups: int
    outputs: np.ndarray
    inputs: np.ndarray

    def blocks(self, name: str) -> Iterator[tuple[Block, np.ndarray]]:
        """Yield the input and output channels of each group; all groups must stay equally large."""
        for side, channels in (("in", self.inputs), ("out", self.outputs)):
            for group, members in enumerate(np.split(channels, self.groups)):
                yield (name, side, group), members


@dataclass
class Channels:
    """The channels of a net; channels that must be removed together have one id.

    Attributes:
        convolutions: The channels of each trained convolution, by the name of its weights in the net's state.
        vectors: Ids of the channels of each bias and batch norm tensor, by its name in the net's state.
        fixed: Channels that cannot be removed: those of the image, and those that untrained weights read.
    """

    convolutions: dict[str, ConvChannels]
    vectors: dict[str, np.ndarray]
    fixed: set[int]

    def filters(self) -> dict[int, list[Filter]]:
        """Return the filters that make each removable channel."""
        filters: dict[int, list[Filter]] = {}
        for name, conv in self.convolutions.items():
            for index, channel in enumerate(conv.outputs.tolist()):
                if channel not in self.fixed:
                    filters.setdefault(channel, []).append((name, index))
        return filters

    def families(self, channels: Iterable[int]) -> list[list[int]]:
        """Group channels that are made by the same convolutions, in the same of their groups.

        If the same share of each family is removed, the groups of each convolution stay equally large.
        """
        signatures: dict[int, Counter[Block]] = {channel: Counter() for channel in channels}
        for name, conv in self.convolutions.items():
            for block, members in conv.blocks(name):
                if block[1] == "out" or conv.groups > 1:
                    for channel in members.tolist():
                        if channel in signatures:
                            signatures[channel][block] += 1
        families: dict[frozenset[tuple[Block, int]], list[int]] = {}
        for channel, signature in signatures.items():
            families.setdefault(frozenset(signature.items()), []).append(channel)
        return list(families.values())

    def remove(self, state: Mapping[str, Tensor], removed: set[int]) -> dict[str, Tensor]:
        """Return a net's state without some channels: smaller tensors with the values of the channels that stay."""
        smaller = dict(state)
        for name, channels in self.vectors.items():
            smaller[name] = state[name][_stays(channels, removed)]
        for name, conv in self.convolutions.items():
            groups = zip(
                state[name].chunk(conv.groups),
                np.split(conv.outputs, conv.groups),
                np.split(conv.inputs, conv.groups),
                strict=True,
            )
            parts = [weight[_stays(outputs, removed)][:, _stays(inputs, removed)] for weight, outputs, inputs in groups]
            smaller[name] = torch.cat(parts)
        return smaller

    def mask(self, state: Mapping[str, Tensor], removed: set[int]) -> dict[str, Tensor]:
        """Return a net's state in which some channels are always 0: their filters, biases and batch norms are 0."""
        masked = dict(state)
        outputs = ((name, conv.outputs) for name, conv in self.convolutions.items())
        for name, channels in (*self.vectors.items(), *outputs):
            masked[name] = state[name].clone()
            masked[name][~_stays(channels, removed)] = 0
        return masked


def _stays(channels: np.ndarray, removed: set[int]) -> Tensor:
    return torch.tensor([channel not in removed for channel in channels.tolist()])


def read(net: Any) -> Channels:
    """Return the channels of a net of ``pipeline_src.models``.

    Raises:
        UserError: If the net has an operator whose effect on channels is not known.
    """
    names = {id(tensor): name for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    dtype = next(net.parameters()).dtype
    reader = _Reader()
    for scale in net.description.scales:
        part: nn.Module = net.at_scale(scale).eval()
        tensors = dict((*part.named_parameters(), *part.named_buffers()))
        program = torch.export.export(part, (torch.zeros(1, 3, 24, 32, dtype=dtype),))
        signature = program.graph_signature
        inputs = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names_in_net = {node: names[id(tensors[name])] for node, name in inputs.items()}
        reader.read_graph(program.graph, names_in_net, trained)
    return reader.channels()


class _Reader:
    """Gives every channel an id, and unites the ids of channels that depend on each other (union-find)."""

    def __init__(self) -> None:
        self.parents: list[int] = []  # of each id: another id of its set, or itself if it is the root
        self.convolutions: dict[str, ConvChannels] = {}
        self.vectors: dict[str, np.ndarray] = {}
        self.fixed: list[np.ndarray] = []

    def read_graph(self, graph: fx.Graph, names: Mapping[str, str], trained: set[str]) -> None:
        """Read the graph of one scale; ``names`` maps its parameters and buffers to names in the whole net."""
        values: dict[fx.Node, np.ndarray] = {}  # ids of the channels of each node's result
        node: Any
        for node in graph.nodes:
            if node.op == "placeholder":
                if node.name not in names:
                    values[node] = self._fix(self._new(3))
            elif node.op == "output":
                self._fix(values[node.args[0][0]])
            elif node.target is aten.conv2d.default:
                conv = Conv2dArguments(*node.args)
                values[node] = self._convolve(conv, values[conv.x], names, trained)
            elif node.target is aten.batch_norm.default:
                values[node] = self._normalise(values[node.args[0]], [names[vector.name] for vector in node.args[1:5]])
            else:
                values[node] = self._combine(node, values)

    def _convolve(
        self, conv: Conv2dArguments, x: np.ndarray, names: Mapping[str, str], trained: set[str]
    ) -> np.ndarray:
        name = names[conv.weight.name]
        count = conv.weight.meta["val"].shape[0]
        if name not in trained:
            self._fix(x)
            return self._fix(self._new(count))
        channels = self.convolutions.setdefault(name, ConvChannels(conv.groups, self._new(count), x))
        self._unite(channels.inputs, x)
        if conv.bias is not None:
            self.vectors[names[conv.bias.name]] = channels.outputs
        return channels.outputs

    def _normalise(self, x: np.ndarray, vectors: list[str]) -> np.ndarray:
        for name in vectors:
            self._unite(self.vectors.setdefault(name, x), x)
        return x

    def _combine(self, node: Any, values: Mapping[fx.Node, np.ndarray]) -> np.ndarray:
        """Return the channels of an operator without weights."""
        args = node.args
        if node.target in SUMS and all(term in values for term in args[:2]):
            return self._unite(values[args[0]], values[args[1]])
        if node.target is aten.cat.default and args[1:] == (1,):
            return np.concatenate([values[part] for part in args[0]])
        if node.target is own.depth_to_space.default:
            first, *others = np.split(values[args[0]], args[1] ** 2)
            for phase in others:
                self._unite(first, phase)
            return first
        if node.target in CHANNELWISE or (node.target is aten.mul.Tensor and isinstance(args[1], float)):
            return values[args[0]]
        raise UserError(f"pruning does not know the operator {node.target}; choose a net without it")

    def _new(self, count: int) -> np.ndarray:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _fix(self, channels: np.ndarray) -> np.ndarray:
        self.fixed.append(channels)
        return channels

    def _unite(self, channels: np.ndarray, others: np.ndarray) -> np.ndarray:
        for channel, other in zip(channels.tolist(), others.tolist(), strict=True):
            self.parents[self._root(other)] = self._root(channel)
        return channels

    def _root(self, channel: int) -> int:
        while self.parents[channel] != channel:
            self.parents[channel] = channel = self.parents[self.parents[channel]]
        return channel

    def _roots(self, channels: np.ndarray) -> np.ndarray:
        return np.array([self._root(channel) for channel in channels.tolist()])

    def channels(self) -> Channels:
        return Channels(
            {
                name: ConvChannels(conv.groups, self._roots(conv.outputs), self._roots(conv.inputs))
                for name, conv in self.convolutions.items()
            },
            {name: self._roots(channels) for name, channels in self.vectors.items()},
            {self._root(channel) for channels in self.fixed for channel in channels.tolist()},
        )
