"""Once-for-all nets: one net, trained once, whose parts are nets too (Cai et al., ICLR 2020, arXiv 1908.09791).

A subnet is a choice for each of the net's ``genes``: of depth how many layers of a stage are kept, of width how many of
a layer's channels (the first ones), of kernel the side of a depthwise one, of scale by how much it upscales. Genes of
layers that the depth leaves out are 0, so that equal nets are equal choices.

There is no elastic layer: a subnet is an ordinary net, :class:`PlainNet` or :class:`MobileNet`, and its weights are a
function of the large net's. What is trained as a part and what is cut out are therefore the same computation.
"""

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from pipeline_src.models import Description
from pipeline_src.models.layers import ClampPixels, DepthToSpace, in_full_precision, one_scale

Subnet = dict[str, int]
Choices = Mapping[str, tuple[int, ...]]  # by dimension: kernel, depth, width, scale


@dataclass(frozen=True)
class Block:
    """What of a subnet costs time by itself.

    ``conv``: a 3×3 convolution and ReLU; ``entry``: one without. ``mobile``: a :class:`MobileBlock`. ``anchor``: the
    end of a :class:`PlainNet` of this ``scale``: the last convolution, the anchor and the depth to space. ``tail``: the
    end of a :class:`MobileNet`: the long skip, pixel shuffles to ``outputs`` channels, and the image.
    """

    kind: str
    inputs: int
    outputs: int
    kernel: int = 3
    expand: int = 1
    scale: int = 1

    @property
    def convolutions(self) -> list["Shape"]:
        """In the order they run."""
        i, o = self.inputs, self.outputs
        if self.kind == "mobile":
            inner = self.expand * i
            return [Shape(i, inner, 1), Shape(inner, inner, self.kernel, groups=inner), Shape(inner, o, 1)]
        if self.kind == "tail":
            ups = [Shape(o if factor > 1 else i, 4 * o, 3, factor=factor) for factor in (1, 2)[: self.scale // 2]]
            return [*ups, Shape(o, 3, 3, factor=self.scale)]
        return [Shape(i, o * self.scale**2, self.kernel)]


@dataclass(frozen=True)
class Shape:
    """A convolution on ``factor`` times the height and width of the LR image."""

    inputs: int
    outputs: int
    side: int
    groups: int = 1
    factor: int = 1

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.inputs * self.outputs // self.groups * self.side**2 + self.outputs

    @property
    def mult_adds(self) -> int:
        """Multiply-accumulates per LR pixel."""
        return self.factor**2 * (self.parameters - self.outputs)


def dimension(gene: str) -> str:
    """What a gene chooses: ``width3`` a width."""
    found = re.match("[a-z]+", gene)
    assert found
    return found[0]


class Supernet(nn.Module):
    """What all spaces share. ``genes``: the choices of each, ascending."""

    description: Description
    genes: dict[str, tuple[int, ...]]

    def kept(self, subnet: Subnet) -> set[str]:
        """The genes that count, of a subnet whose genes are not yet cleared."""
        raise NotImplementedError

    def net_of(self, subnet: Subnet) -> nn.Module:
        """The ordinary net that a subnet is, untrained."""
        raise NotImplementedError

    def weights(self, subnet: Subnet) -> dict[str, Tensor]:
        """The ``state_dict`` of that net, as views and functions of the parameters here."""
        raise NotImplementedError

    def blocks(self, subnet: Subnet) -> list[Block]:
        """What a subnet is made of, in the order it runs."""
        raise NotImplementedError

    def all_blocks(self) -> list[Block]:
        """Every block that any subnet has."""
        raise NotImplementedError

    def sort_channels(self, first: int) -> None:
        """Of each layer whose width is elastic, order the channels of its ``first`` (smallest width so far) choices.

        The most important one first, by the L1 norm of what takes it in. The largest net computes what it did.
        """
        raise NotImplementedError

    def count(self, scale: int) -> int:
        """The number of different subnets of a scale."""
        raise NotImplementedError

    def subnet(self, genes: Mapping[str, int]) -> Subnet:
        """A valid subnet of the ``genes`` given; ValueError, which says what there is, if it is not in this space."""
        missing, unknown = self.genes.keys() - genes.keys(), genes.keys() - self.genes.keys()
        if missing or unknown:
            which = f"lacks {sorted(missing)[0]}" if missing else f"has {sorted(unknown)[0]}"
            raise ValueError(f"the subnet {which}; the genes of this space are {', '.join(self.genes)}")
        kept = self.kept(dict(genes))
        for gene, choices in self.genes.items():
            if gene in kept and genes[gene] not in choices:
                raise ValueError(f"{gene} is {genes[gene]}, but this space has {', '.join(map(str, choices))}")
        return {gene: genes[gene] if gene in kept else 0 for gene in self.genes}

    def largest(self, scale: int) -> Subnet:
        """The subnet of all layers and channels."""
        return self.subnet({gene: choices[-1] for gene, choices in self.genes.items()} | {"scale": scale})

    def smallest(self, scale: int) -> Subnet:
        """The subnet of the fewest layers and channels."""
        return self.subnet({gene: choices[0] for gene, choices in self.genes.items()} | {"scale": scale})

    def draw(self, chance: random.Random, scale: int, choices: Choices | None = None) -> Subnet:
        """A subnet of each gene's choices, or of those that ``choices`` leaves its dimension (none: the largest)."""
        drawn = {}
        for gene, all_choices in self.genes.items():
            some = all_choices if choices is None else choices.get(dimension(gene), all_choices[-1:])
            drawn[gene] = chance.choice([choice for choice in all_choices if choice in some])
        return self.subnet(drawn | {"scale": scale})

    def choices(self) -> dict[str, tuple[int, ...]]:
        """All choices by dimension."""
        return {dimension(gene): choices for gene, choices in self.genes.items()}

    def part(self, subnet: Subnet) -> nn.Module:
        """The subnet as a module on the parameters here, which it trains."""
        return _Part(self, subnet)

    def at_scale(self, scale: int) -> nn.Module:
        """The largest subnet of a scale."""
        if scale not in self.description.scales:
            known = ", ".join(f"×{known}" for known in self.description.scales)
            raise ValueError(f"this net upscales {known}, not ×{scale}")
        return self.part(self.largest(scale))


class _Part(nn.Module):
    def __init__(self, whole: Supernet, subnet: Subnet) -> None:
        super().__init__()
        self.whole, self.genes, self.training = whole, subnet, whole.training
        self.description = Description((subnet["scale"],))
        with torch.device("meta"):
            self.net = [whole.net_of(subnet)]  # in a list: its parameters are none of ours

    def forward(self, x: Tensor) -> Tensor:
        (net,) = self.net
        made: Tensor = functional_call(net.train(self.training), self.whole.weights(self.genes), (x,))
        return made

    def at_scale(self, scale: int) -> nn.Module:
        """The subnet, which has one scale."""
        if scale != self.genes["scale"]:
            raise ValueError(f"this net upscales ×{self.genes['scale']}, not ×{scale}")
        return self


class PlainNet(nn.Module):
    """ABPN (``abpn.py``) without its convolution in image space, each layer as wide as it is."""

    def __init__(self, scale: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.description = Description((scale,))
        self.scale = scale
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise((3, *widths)))
        self.last = nn.Conv2d(widths[-1], 3 * scale**2, 3, padding=1)
        for i, conv in enumerate(self.convs):
            nn.init.xavier_normal_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            if i:  # near the identity, so that a layer that the depth leaves out is missed little
                conv.weight.data.mul_(0.25).add_(nn.init.dirac_(torch.empty_like(conv.weight)))  # type: ignore
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.upscale = DepthToSpace(scale)
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for conv in self.convs:
            features = functional.relu(conv(features))
        return self.upscale(self.clamp(self.last(features) + torch.cat([x] * self.scale**2, dim=1)))

    def at_scale(self, scale: int) -> nn.Module:
        """The net, which has one scale."""
        return one_scale(self, scale)


class MobileBlock(nn.Module):
    """1×1 to ``expand`` times the channels, k×k of each channel by itself, 1×1 back, and a skip (MobileNetV2's block).

    ReLU and not ReLU6, which is of use only behind a batch norm. The last convolution starts at zero, so that the
    block starts as none.
    """

    def __init__(self, channels: int, kernel: int, expand: int) -> None:
        super().__init__()
        inner = expand * channels
        self.expand = nn.Conv2d(channels, inner, 1)
        self.depthwise = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, channels, 1)
        for conv in (self.expand, self.depthwise):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(functional.relu(self.depthwise(functional.relu(self.expand(x)))))


class MobileNet(nn.Module):
    """Blocks at the size of the LR image, then a pixel shuffle ×2, or two for ×4; float NCHW RGB in 0..255.

    What it makes is the difference to the nearest-neighbour upscaling of its input. What is not blocks is small, or
    nothing would be saved by fewer and smaller ones: ``hr_channels`` features are left where the image is large.
    ``stages``: of the blocks of each the kernel and the expansion.
    """

    def __init__(
        self, scale: int, channels: int, hr_channels: int, stages: Sequence[Sequence[tuple[int, int]]]
    ) -> None:
        super().__init__()
        self.description = Description(scales=(scale,))
        self.scale = scale
        self.entry = nn.Conv2d(3, channels, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(MobileBlock(channels, kernel, expand) for kernel, expand in stage) for stage in stages
        )
        widths = [channels] + [hr_channels] * (scale // 2)
        self.ups = nn.ModuleList(nn.Conv2d(width, 4 * hr_channels, 3, padding=1) for width in widths[:-1])
        self.shuffle = DepthToSpace(2)
        self.exit = nn.Conv2d(hr_channels, 3, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)  # type: ignore[arg-type]
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        entry = features = self.entry(x)
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                features = block(features)
        features = entry + features
        for up in self.ups:
            features = self.shuffle(functional.relu(up(features)))
        anchor = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return self.clamp(in_full_precision(self.exit, features) + anchor)

    def at_scale(self, scale: int) -> nn.Module:
        """The net, which has one scale."""
        return one_scale(self, scale)


class Plain(Supernet):
    """ABPN with elastic depth and width: 3×3 convolutions alone, which every NPU is fast at.

    ``depth`` is ABPN's number of inner convolutions; ``width1`` … are the filters of each. The scales share all but the
    last convolution.
    """

    def __init__(self, scales: list[int], widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.layers = max(depths) + 2
        widest = max(widths)
        self.genes = {"scale": tuple(sorted(scales)), "depth": tuple(sorted(depths))}
        self.genes |= {f"width{i + 1}": tuple(sorted(widths)) for i in range(self.layers)}
        self.convs = PlainNet(max(scales), [widest] * self.layers).convs
        self.tails = nn.ModuleDict({str(scale): PlainNet(scale, [widest]).last for scale in scales})

    def _widths(self, subnet: Subnet) -> list[int]:
        return [subnet[f"width{i + 1}"] for i in range(subnet["depth"] + 2)]

    def kept(self, subnet: Subnet) -> set[str]:
        return {"scale", "depth", *(f"width{i + 1}" for i in range(subnet["depth"] + 2))}

    def count(self, scale: int) -> int:
        return sum(len(self.genes["width1"]) ** (depth + 2) for depth in self.genes["depth"])

    def net_of(self, subnet: Subnet) -> nn.Module:
        return PlainNet(subnet["scale"], self._widths(subnet))

    def weights(self, subnet: Subnet) -> dict[str, Tensor]:
        made, before = {}, 3
        convs: Any = self.convs
        for i, width in enumerate(self._widths(subnet)):
            made[f"convs.{i}.weight"] = convs[i].weight[:width, :before]
            made[f"convs.{i}.bias"] = convs[i].bias[:width]
            before = width
        tail: Any = self.tails[str(subnet["scale"])]
        return made | {"last.weight": tail.weight[:, :before], "last.bias": tail.bias}

    def blocks(self, subnet: Subnet) -> list[Block]:
        widths = [3, *self._widths(subnet)]
        convs = [Block("conv", i, o) for i, o in itertools.pairwise(widths)]
        return [*convs, Block("anchor", widths[-1], 3, scale=subnet["scale"])]

    def all_blocks(self) -> list[Block]:
        widths = self.genes["width1"]
        convs = [Block("conv", i, o) for i in (3, *widths) for o in widths]
        return convs + [Block("anchor", i, 3, scale=scale) for scale in self.genes["scale"] for i in widths]

    @torch.no_grad()
    def sort_channels(self, first: int) -> None:
        convs: Any = self.convs
        tails: Any = list(self.tails.values())
        shallow = self.genes["depth"][0] + 1  # from this layer on each may be the last one before the tails

        groups = [([i], [convs[i + 1]]) for i in range(shallow)]
        groups.append(([*range(shallow, self.layers)], [*convs[shallow + 1 :], *tails]))
        for layers, takers in groups:
            order = _order(_importance(takers), first)
            for i in layers:
                convs[i].weight.copy_(convs[i].weight[order])
                convs[i].bias.copy_(convs[i].bias[order])
            for taker in takers:
                taker.weight.copy_(taker.weight[:, order])


class Mobile(Supernet):
    """MobileNetV3's space of Once-for-All, for super-resolution and without batch norm.

    Each of four stages has ``depth1`` … blocks, each block a kernel and an expansion (``width``). A smaller kernel is
    the centre of the larger one times a learned matrix, 706 parameters a block. ×2 and ×4 share everything: the scale
    is how many pixel shuffles there are.
    """

    STAGES = 4

    def __init__(
        self,
        scales: list[int],
        widths: Sequence[int],
        depths: Sequence[int],
        kernels: Sequence[int],
        channels: int,
        hr_channels: int,
    ) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.channels, self.hr_channels = channels, hr_channels
        layers = [f"{stage + 1}_{layer + 1}" for stage in range(self.STAGES) for layer in range(max(depths))]
        self.genes = {"scale": tuple(sorted(scales))}
        self.genes |= {f"depth{stage + 1}": tuple(sorted(depths)) for stage in range(self.STAGES)}
        self.genes |= {f"kernel{layer}": tuple(sorted(kernels)) for layer in layers}
        self.genes |= {f"width{layer}": tuple(sorted(widths)) for layer in layers}
        stages = [[(max(kernels), max(widths))] * max(depths)] * self.STAGES
        self.net = MobileNet(max(scales), channels, hr_channels, stages)
        self.transforms = nn.ModuleDict({layer: nn.ParameterDict(_transforms(kernels)) for layer in layers})

    def _layers(self, subnet: Subnet) -> Iterator[tuple[int, int, str]]:
        for stage in range(self.STAGES):
            for layer in range(subnet[f"depth{stage + 1}"]):
                yield stage, layer, f"{stage + 1}_{layer + 1}"

    def kept(self, subnet: Subnet) -> set[str]:
        layers = {f"{gene}{name}" for _, _, name in self._layers(subnet) for gene in ("kernel", "width")}
        return layers | {"scale"} | {f"depth{stage + 1}" for stage in range(self.STAGES)}

    def count(self, scale: int) -> int:
        of_block = len(self.genes["kernel1_1"]) * len(self.genes["width1_1"])
        return int(sum(of_block**depth for depth in self.genes["depth1"]) ** self.STAGES)

    def net_of(self, subnet: Subnet) -> nn.Module:
        stages: list[list[tuple[int, int]]] = [[] for _ in range(self.STAGES)]
        for stage, _, name in self._layers(subnet):
            stages[stage].append((subnet[f"kernel{name}"], subnet[f"width{name}"]))
        return MobileNet(subnet["scale"], self.channels, self.hr_channels, stages)

    def weights(self, subnet: Subnet) -> dict[str, Tensor]:
        net: Any = self.net
        made = {f"entry.{key}": value for key, value in net.entry.named_parameters()}
        for stage, layer, name in self._layers(subnet):
            block, inner = net.stages[stage][layer], subnet[f"width{name}"] * self.channels
            kernel = _centre(block.depthwise.weight[:inner], subnet[f"kernel{name}"], self.transforms[name])
            made |= {
                f"stages.{stage}.{layer}.{key}": value
                for key, value in {
                    "expand.weight": block.expand.weight[:inner],
                    "expand.bias": block.expand.bias[:inner],
                    "depthwise.weight": kernel,
                    "depthwise.bias": block.depthwise.bias[:inner],
                    "project.weight": block.project.weight[:, :inner],
                    "project.bias": block.project.bias,
                }.items()
            }
        for i in range(subnet["scale"] // 2):
            made |= {f"ups.{i}.{key}": value for key, value in net.ups[i].named_parameters()}
        return made | {f"exit.{key}": value for key, value in net.exit.named_parameters()}

    def blocks(self, subnet: Subnet) -> list[Block]:
        mobile = [self._block(subnet[f"kernel{n}"], subnet[f"width{n}"]) for _, _, n in self._layers(subnet)]
        return [self._entry(), *mobile, self._tail(subnet["scale"])]

    def all_blocks(self) -> list[Block]:
        kernels, widths = self.genes["kernel1_1"], self.genes["width1_1"]
        mobile = [self._block(kernel, width) for kernel in kernels for width in widths]
        tails = [self._tail(scale) for scale in self.genes["scale"]]
        return [self._entry(), *mobile, *tails]

    def _entry(self) -> Block:
        return Block("entry", 3, self.channels)

    def _block(self, kernel: int, expand: int) -> Block:
        return Block("mobile", self.channels, self.channels, kernel=kernel, expand=expand)

    def _tail(self, scale: int) -> Block:
        return Block("tail", self.channels, self.hr_channels, scale=scale)

    @torch.no_grad()
    def sort_channels(self, first: int) -> None:
        stages: Any = self.net.stages
        for stage in stages:
            for block in stage:
                order = _order(_importance([block.project]), first * self.channels)
                for layer in (block.expand, block.depthwise):
                    layer.weight.copy_(layer.weight[order])
                    layer.bias.copy_(layer.bias[order])
                block.project.weight.copy_(block.project.weight[:, order])


def _transforms(kernels: Sequence[int]) -> dict[str, nn.Parameter]:
    """To each kernel but the largest, from the next larger one: the identity at first."""
    return {str(kernel): nn.Parameter(torch.eye(kernel**2)) for kernel in sorted(kernels)[:-1]}


def _centre(weight: Tensor, side: int, transforms: Any) -> Tensor:
    """The depthwise kernels of another ``side``: from step to step the centre times the matrix of that side."""
    for smaller in sorted((int(key) for key in transforms), reverse=True):
        if smaller < side:
            break
        cut = (weight.shape[-1] - smaller) // 2
        centre = weight[..., cut : cut + smaller, cut : cut + smaller]
        weight = (centre.flatten(1) @ transforms[str(smaller)].T).reshape(-1, 1, smaller, smaller)
    return weight


def _importance(takers: list[nn.Conv2d]) -> Tensor:
    """Of each channel that these convolutions take in, the L1 norm of its weights."""
    return torch.stack([conv.weight.abs().sum((0, 2, 3)) for conv in takers]).sum(0)


def _order(importance: Tensor, first: int) -> Tensor:
    """The first channels by importance, the largest first; the others stay where they are."""
    head = importance[:first].argsort(descending=True, stable=True)
    return torch.cat([head, torch.arange(first, len(importance), device=head.device)])


def build(
    scales: list[int],
    space: str = "plain",
    widths: Sequence[int] = (16, 24, 32),
    depths: Sequence[int] = (1, 2, 3, 4),
    kernels: Sequence[int] = (3, 5, 7),
    channels: int = 32,
    hr_channels: int = 8,
    subnet: Subnet | None = None,
) -> nn.Module:
    """The supernet of a ``space``: ``plain``, of 3×3 convolutions, or ``mobile``, of inverted residuals.

    ``widths`` are filters in the plain space and expansions in the mobile one, which alone has ``kernels``,
    ``channels`` and ``hr_channels``. With ``subnet``, its genes, it is this subnet by itself, an ordinary net.
    """
    if space not in ("plain", "mobile"):
        raise ValueError(f"the spaces are plain and mobile, not {space!r}")
    for name, choices in {"widths": widths, "depths": depths, "kernels": kernels}.items():
        if not choices or len({*choices}) < len(choices) or any(type(one) is not int or one < 1 for one in choices):
            raise ValueError(f"{name} are different whole numbers of 1 or more, not {choices}")
    if not all(kernel % 2 for kernel in kernels):
        raise ValueError(f"kernels have odd sides, not {kernels}")
    if space == "mobile" and not {*scales} <= {2, 4}:
        raise ValueError(f"the mobile space upscales by 2 and 4, one pixel shuffle or two, not by {scales}")
    whole: Supernet
    if space == "plain":
        whole = Plain(scales, widths, depths)
    else:
        whole = Mobile(scales, widths, depths, kernels, channels, hr_channels)
    return whole.net_of(whole.subnet(subnet)) if subnet else whole
