"""The plain space: ABPN with elastic depth and width."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import ClampPixels, one_scale
from pipeline_src.models.layers.operators import DepthToSpace
from pipeline_src.models.layers.plain import PlainStack
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet, channel_importance, importance_order


class PlainNet(nn.Module):
    """ABPN (``models/abpn``) without its convolution in image space, and with a width for each layer.

    Args:
        scale: the factor by which the net upscales.
        widths: filters of each convolution but the last.
    """

    def __init__(self, scale: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.description = Description((scale,))
        self.scale = scale
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise((3, *widths)))
        self.last = nn.Conv2d(widths[-1], 3 * scale**2, 3, padding=1)
        for i, conv in enumerate(self.convs):
            nn.init.xavier_normal_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            if i:  # near the identity, so that leaving out a layer changes little
                conv.weight.data.mul_(0.25).add_(nn.init.dirac_(torch.empty_like(conv.weight)))  # type: ignore
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.upscale = DepthToSpace(scale)
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255 to N×3×(scale·H)×(scale·W); clamped to 0..255 in eval mode alone."""
        features = x
        for conv in self.convs:
            features = functional.relu(conv(features))
        sr: Tensor = self.upscale(self.clamp(self.last(features) + torch.cat([x] * self.scale**2, dim=1)))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself.

        Raises:
            ValueError: for another scale.
        """
        return one_scale(self, scale)


class Plain(Supernet):
    """ABPN with elastic depth and width: 3×3 convolutions alone, which every NPU is fast at.

    The gene ``depth`` is ABPN's number of inner convolutions; ``width1``, ``width2`` … are the filters of each
    convolution; ``tail``, where there is a choice, is the number of convolutions of 3·scale² filters at the end, of
    which ABPN has two. The scales share all but the tails.

    Args:
        scales: the factors by which the net upscales.
        widths: choices of the filters of a convolution.
        depths: choices of the number of inner convolutions.
        tails: choices of the number of last convolutions, 1 and 2.
    """

    def __init__(
        self, scales: list[int], widths: Sequence[int], depths: Sequence[int], tails: Sequence[int] = (1,)
    ) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.layers = max(depths) + 2
        widest = max(widths)
        self.genes = {"scale": tuple(sorted(scales)), "depth": tuple(sorted(depths))}
        self.genes |= {"tail": tuple(sorted(tails))} if len(tails) > 1 else {}
        self.genes |= {f"width{i + 1}": tuple(sorted(widths)) for i in range(self.layers)}
        self.convs = PlainNet(max(scales), [widest] * self.layers).convs
        self.tails = nn.ModuleDict({str(scale): PlainNet(scale, [widest]).last for scale in scales})
        if len(tails) > 1:
            two = {str(scale): PlainNet(scale, [widest, 3 * scale**2]) for scale in scales}
            self.image_convs = nn.ModuleDict({scale: net.convs[1] for scale, net in two.items()})
            self.image_tails = nn.ModuleDict({scale: net.last for scale, net in two.items()})

    def plain(self) -> PlainStack:
        """Return the widest convolutions and single tails, as which a larger net can begin (:mod:`models.growing`)."""
        convs: Any = self.convs
        return PlainStack([*convs], {int(scale): tail for scale, tail in self.tails.items()})

    def _widths(self, subnet: Subnet) -> list[int]:
        """Return the filters of each convolution that the scales share."""
        return [subnet[f"width{i + 1}"] for i in range(subnet["depth"] + 2)]

    def _hidden_widths(self, subnet: Subnet) -> list[int]:
        """Return the filters of each convolution but the last."""
        return [*self._widths(subnet), *([3 * subnet["scale"] ** 2] if _has_two_tails(subnet) else [])]

    def kept_genes(self, subnet: Subnet) -> set[str]:
        """Return the genes of the layers that the subnet's depth keeps."""
        widths = {f"width{i + 1}" for i in range(subnet["depth"] + 2)}
        return widths | (self.genes.keys() & {"scale", "depth", "tail"})

    def count_subnets(self, scale: int) -> int:
        """Return the number of different subnets of a scale."""
        of_widths = sum(len(self.genes["width1"]) ** (depth + 2) for depth in self.genes["depth"])
        return int(of_widths * len(self.genes.get("tail", (1,))))

    def build_subnet(self, subnet: Subnet) -> SuperResolutionNet:
        """Return the subnet as an untrained net with parameters of its own."""
        return PlainNet(subnet["scale"], self._hidden_widths(subnet))

    def subnet_weights(self, subnet: Subnet) -> dict[str, Tensor]:
        """Return the ``state_dict`` of the subnet's net: slices of the supernet's parameters."""
        weights, inputs = {}, 3
        convs: Any = self.convs
        for i, width in enumerate(self._widths(subnet)):
            weights[f"convs.{i}.weight"] = convs[i].weight[:width, :inputs]
            weights[f"convs.{i}.bias"] = convs[i].bias[:width]
            inputs = width
        scale = str(subnet["scale"])
        if _has_two_tails(subnet):
            image_conv: Any = self.image_convs[scale]
            name, last = f"convs.{subnet['depth'] + 2}", self.image_tails[scale]
            weights |= {f"{name}.weight": image_conv.weight[:, :inputs], f"{name}.bias": image_conv.bias}
            return weights | {f"last.{key}": value for key, value in last.named_parameters()}
        tail: Any = self.tails[scale]
        return weights | {"last.weight": tail.weight[:, :inputs], "last.bias": tail.bias}

    def blocks(self, subnet: Subnet) -> list[Block]:
        """Return the blocks of a subnet in the order they run."""
        widths = [3, *self._hidden_widths(subnet)]
        convs = [Block("conv", i, o) for i, o in itertools.pairwise(widths)]
        return [*convs, Block("anchor", widths[-1], 3, scale=subnet["scale"])]

    def all_blocks(self) -> list[Block]:
        """Return every block that any subnet of the space has."""
        widths = self.genes["width1"]
        convs = [Block("conv", i, o) for i in (3, *widths) for o in widths]
        anchors = [Block("anchor", i, 3, scale=scale) for scale in self.genes["scale"] for i in widths]
        if "tail" in self.genes:
            filters = {scale: 3 * scale**2 for scale in self.genes["scale"]}
            convs += [Block("conv", i, o) for o in filters.values() for i in widths]
            anchors += [Block("anchor", i, 3, scale=scale) for scale, i in filters.items()]
        return [*dict.fromkeys(convs + anchors)]

    @torch.no_grad()
    def sort_channels(self, first: int) -> None:
        """Sort the first channels of every layer by importance; see :meth:`Supernet.sort_channels`."""
        convs: Any = self.convs
        tails: Any = [*self.tails.values(), *(self.image_convs.values() if "tail" in self.genes else [])]
        shallow = self.genes["depth"][0] + 1  # from this layer on, each may be the last one before the tails
        groups = [([i], [convs[i + 1]]) for i in range(shallow)]
        groups.append(([*range(shallow, self.layers)], [*convs[shallow + 1 :], *tails]))
        for layers, consumers in groups:
            order = importance_order(channel_importance(consumers), first)
            for i in layers:
                convs[i].weight.copy_(convs[i].weight[order])
                convs[i].bias.copy_(convs[i].bias[order])
            for consumer in consumers:
                consumer.weight.copy_(consumer.weight[:, order])


def _has_two_tails(subnet: Subnet) -> bool:
    return subnet.get("tail") == 2
