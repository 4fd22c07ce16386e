"""Which channels of a net hang together: a filter can only be cut out with all that is added to it or reads it.

Read off the graph of every scale, so that a sum, a concatenation, depth-to-space, a grouped convolution, weights used
several times and weights that scales share are all seen as what they are.
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

CHANNELWISE = (
    *RELUS,
    aten.clamp.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_bilinear2d.vec,
    own.mirror_pad.default,
)  # operators that work on each channel by itself

GroupKey = tuple[str, str, int]  # of a grouped convolution: its weights, "in" or "out", and which of its groups


@dataclass
class ConvChannels:
    """Of a convolution: the channels it gives (a filter each) and reads, both numbered as in :class:`Channels`."""

    groups: int
    filters: np.ndarray
    reads: np.ndarray

    def blocks(self, name: str) -> Iterator[tuple[GroupKey, np.ndarray]]:
        """The channels of each group, which must stay as many as those of the others."""
        for side, channels in (("in", self.reads), ("out", self.filters)):
            for group, members in enumerate(np.split(channels, self.groups)):
                yield (name, side, group), members


@dataclass
class Channels:
    """The channels of a net, numbered; those that must stay or go together have one number.

    ``convolutions`` and ``vectors`` (biases, and what a batch norm has per channel) are by their names in the net's
    state, ``kept`` are channels that cannot go: the image's own, and those that given weights read.
    """

    convolutions: dict[str, ConvChannels]
    vectors: dict[str, np.ndarray]
    kept: set[int]

    def filters(self) -> dict[int, list[tuple[str, int]]]:
        """Of every channel that can go the filters that make it, as (weights, index)."""
        of: dict[int, list[tuple[str, int]]] = {}
        for name, weights in self.convolutions.items():
            for index, channel in enumerate(weights.filters.tolist()):
                if channel not in self.kept:
                    of.setdefault(channel, []).append((name, index))
        return of

    def families(self, channels: Iterable[int]) -> list[list[int]]:
        """``channels`` in lists of those that are filters of the same convolutions, and of the same of their groups.

        If of each list the same share goes, the groups of each convolution stay alike.
        """
        signatures: dict[int, Counter[GroupKey]] = {channel: Counter() for channel in channels}
        for name, weights in self.convolutions.items():
            for block, members in weights.blocks(name):
                if block[1] == "out" or weights.groups > 1:
                    for channel in members.tolist():
                        if channel in signatures:
                            signatures[channel][block] += 1
        families: dict[frozenset[tuple[GroupKey, int]], list[int]] = {}
        for channel, signature in signatures.items():
            families.setdefault(frozenset(signature.items()), []).append(channel)
        return list(families.values())

    def cut(self, state: Mapping[str, Tensor], gone: set[int]) -> dict[str, Tensor]:
        """``state`` without the channels ``gone``: smaller tensors with the values of those that stay."""
        smaller = dict(state)
        for name, channels in self.vectors.items():
            smaller[name] = state[name][_stay(channels, gone)]
        for name, weights in self.convolutions.items():
            parts = []
            rows = zip(state[name].chunk(weights.groups), np.split(weights.filters, weights.groups), strict=True)
            for (part, filters), reads in zip(rows, np.split(weights.reads, weights.groups), strict=True):
                parts.append(part[_stay(filters, gone)][:, _stay(reads, gone)])
            smaller[name] = torch.cat(parts)
        return smaller

    def mask(self, state: Mapping[str, Tensor], gone: set[int]) -> dict[str, Tensor]:
        """``state`` with the channels ``gone`` always 0: their filters, biases and batch norms' weights are."""
        masked = dict(state)
        for name, channels in (*self.vectors.items(), *((n, w.filters) for n, w in self.convolutions.items())):
            masked[name] = state[name].clone()
            masked[name][~_stay(channels, gone)] = 0
        return masked


def _stay(channels: np.ndarray, gone: set[int]) -> Tensor:
    return torch.tensor([channel not in gone for channel in channels.tolist()])


def read(net: Any) -> Channels:
    """The channels of a net of ``pipeline_src.models``; UserError, by name, for an operator that is not known."""
    names = {id(tensor): name for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    dtype = next(net.parameters()).dtype
    reader = _Reader()
    for scale in net.description.scales:
        part: nn.Module = net.at_scale(scale).eval()
        there = dict((*part.named_parameters(), *part.named_buffers()))
        program = torch.export.export(part, (torch.zeros(1, 3, 24, 32, dtype=dtype),))
        signature = program.graph_signature
        tensors = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        called = {node: names[id(there[name])] for node, name in tensors.items()}
        reader.follow(program.graph, called, trained)
    return reader.channels()


class _Reader:
    """Numbers channels as it meets them, and joins the numbers of those that hang together."""

    def __init__(self) -> None:
        self.joined: list[int] = []  # of each number one that it is joined to, or itself
        self.convolutions: dict[str, ConvChannels] = {}
        self.vectors: dict[str, np.ndarray] = {}
        self.kept: list[np.ndarray] = []

    def follow(self, graph: fx.Graph, names: Mapping[str, str], trained: set[str]) -> None:
        """Read the graph of one scale; ``names`` are those of its parameters and buffers in the whole net."""
        of: dict[Any, np.ndarray] = {}
        node: Any
        for node in graph.nodes:
            args = node.args
            if node.op == "placeholder":
                if node.name not in names:
                    of[node] = self._keep(self._new(3))
            elif node.op == "output":
                self._keep(of[args[0][0]])
            elif node.target is aten.conv2d.default:
                conv = Conv2dArguments(*args)
                of[node] = self._convolve(conv, of[conv.x], names, trained)
            elif node.target is aten.batch_norm.default:
                of[node] = of[args[0]]
                for vector in args[1:5]:
                    self._join(self.vectors.setdefault(names[vector.name], of[node]), of[node])
            elif node.target in SUMS and all(term in of for term in args[:2]):
                of[node] = self._join(of[args[0]], of[args[1]])
            elif node.target is aten.cat.default and args[1:] == (1,):
                of[node] = np.concatenate([of[part] for part in args[0]])
            elif node.target is own.depth_to_space.default:
                first, *others = np.split(of[args[0]], args[1] ** 2)
                for phase in others:
                    self._join(first, phase)
                of[node] = first
            elif node.target in CHANNELWISE or (node.target is aten.mul.Tensor and isinstance(args[1], float)):
                of[node] = of[args[0]]
            else:
                raise UserError(f"pruning does not know the operator {node.target}; choose a net without it")

    def _convolve(
        self, conv: Conv2dArguments, x: np.ndarray, names: Mapping[str, str], trained: set[str]
    ) -> np.ndarray:
        name = names[conv.weight.name]
        count = conv.weight.meta["val"].shape[0]
        if name not in trained:
            self._keep(x)
            return self._keep(self._new(count))
        weights = self.convolutions.setdefault(name, ConvChannels(conv.groups, self._new(count), x))
        self._join(weights.reads, x)
        if conv.bias is not None:
            self.vectors[names[conv.bias.name]] = weights.filters
        return weights.filters

    def _new(self, count: int) -> np.ndarray:
        first = len(self.joined)
        self.joined.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _keep(self, channels: np.ndarray) -> np.ndarray:
        self.kept.append(channels)
        return channels

    def _join(self, these: np.ndarray, those: np.ndarray) -> np.ndarray:
        for this, that in zip(these.tolist(), those.tolist(), strict=True):
            self.joined[self._number(that)] = self._number(this)
        return these

    def _number(self, channel: int) -> int:
        while self.joined[channel] != channel:
            self.joined[channel] = channel = self.joined[self.joined[channel]]
        return channel

    def _numbers(self, channels: np.ndarray) -> np.ndarray:
        return np.array([self._number(channel) for channel in channels.tolist()])

    def channels(self) -> Channels:
        return Channels(
            {
                name: ConvChannels(of.groups, self._numbers(of.filters), self._numbers(of.reads))
                for name, of in self.convolutions.items()
            },
            {name: self._numbers(channels) for name, channels in self.vectors.items()},
            {self._number(channel) for channels in self.kept for channel in channels.tolist()},
        )
