"""Supernets: nets that are trained once and whose subnets are nets too.

A subnet is a choice for each of the supernet's ``genes``. The choice of a depth gene is the number of layers that a
stage keeps, of a width gene the number of channels that a layer keeps (the first ones), of a kernel gene the side of a
depthwise convolution, and of the scale gene the factor by which the net upscales. Genes of layers that the depth leaves
out are 0, so that equal nets have equal genes.

There is no elastic layer: a subnet is an ordinary net, and its weights are a function of the supernet's. A subnet
module and an extracted subnet are therefore the same computation.
"""

import random
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.once_for_all.blocks import Block

Subnet = dict[str, int]
Choices = Mapping[str, tuple[int, ...]]  # by dimension: kernel, depth, width, scale


def dimension(gene: str) -> str:
    """Return the dimension of a gene: ``width`` for ``width3``."""
    match = re.match("[a-z]+", gene)
    assert match
    return match[0]


class Supernet(nn.Module):
    """The large net of a space, whose subnets share its weights.

    A space inherits from this class and defines ``kept_genes``, ``build_subnet``, ``subnet_weights``, ``blocks``,
    ``all_blocks``, ``sort_channels`` and ``count_subnets``.

    Attributes:
        description: the scales of the net.
        genes: the choices of each gene, ascending.
    """

    description: Description
    genes: dict[str, tuple[int, ...]]

    def kept_genes(self, subnet: Subnet) -> set[str]:
        """Return the genes of the layers that the subnet's depth keeps; the others are set to 0."""
        raise NotImplementedError

    def build_subnet(self, subnet: Subnet) -> SuperResolutionNet:
        """Return the subnet as an untrained net with parameters of its own."""
        raise NotImplementedError

    def subnet_weights(self, subnet: Subnet) -> dict[str, Tensor]:
        """Return the ``state_dict`` of the subnet's net: views and functions of the supernet's parameters."""
        raise NotImplementedError

    def blocks(self, subnet: Subnet) -> list[Block]:
        """Return the blocks of a subnet in the order they run."""
        raise NotImplementedError

    def all_blocks(self) -> list[Block]:
        """Return every block that any subnet of the space has."""
        raise NotImplementedError

    def sort_channels(self, first: int) -> None:
        """Sort the first channels of every layer of elastic width by importance, the most important one first.

        The importance of a channel is the L1 norm of the weights that it is multiplied by in the next layers. The
        largest subnet computes the same images as before.

        Args:
            first: the smallest width that has been trained so far, as a choice of the width genes; channels beyond it
                stay where they are.
        """
        raise NotImplementedError

    def count_subnets(self, scale: int) -> int:
        """Return the number of different subnets of a scale."""
        raise NotImplementedError

    def subnet(self, genes: Mapping[str, int]) -> Subnet:
        """Return the subnet of these ``genes``, with the genes of layers that its depth leaves out set to 0.

        Raises:
            ValueError: a gene is missing, unknown, or has a choice that is not in this space.
        """
        missing, unknown = self.genes.keys() - genes.keys(), genes.keys() - self.genes.keys()
        if missing or unknown:
            problem = f"lacks {sorted(missing)[0]}" if missing else f"has {sorted(unknown)[0]}"
            raise ValueError(f"the subnet {problem}; the genes of this space are {', '.join(self.genes)}")
        kept = self.kept_genes(dict(genes))
        for gene, choices in self.genes.items():
            if gene in kept and genes[gene] not in choices:
                raise ValueError(f"{gene} is {genes[gene]}, but this space has {', '.join(map(str, choices))}")
        return {gene: genes[gene] if gene in kept else 0 for gene in self.genes}

    def largest(self, scale: int) -> Subnet:
        """Return the subnet of all layers and channels."""
        return self.subnet({gene: choices[-1] for gene, choices in self.genes.items()} | {"scale": scale})

    def smallest(self, scale: int) -> Subnet:
        """Return the subnet of the fewest layers and channels."""
        return self.subnet({gene: choices[0] for gene, choices in self.genes.items()} | {"scale": scale})

    def sample_subnet(self, generator: random.Random, scale: int, choices: Choices | None = None) -> Subnet:
        """Return a random subnet of a scale.

        Args:
            generator: the source of randomness; one draw per gene, in the order of ``genes``.
            scale: the factor by which the subnet upscales.
            choices: the choices allowed in each dimension; a dimension that is not in it keeps its largest choice.
                None allows all.
        """
        sampled = {}
        for gene, all_choices in self.genes.items():
            allowed = all_choices if choices is None else choices.get(dimension(gene), all_choices[-1:])
            sampled[gene] = generator.choice([choice for choice in all_choices if choice in allowed])
        return self.subnet(sampled | {"scale": scale})

    def choices(self) -> dict[str, tuple[int, ...]]:
        """Return all choices by dimension, ascending."""
        return {dimension(gene): choices for gene, choices in self.genes.items()}

    def subnet_module(self, subnet: Subnet) -> nn.Module:
        """Return the subnet as a module that computes with, and trains, the supernet's parameters."""
        return SubnetModule(self, subnet)

    def at_scale(self, scale: int) -> nn.Module:
        """Return the largest subnet of a scale as a module.

        Raises:
            ValueError: if the supernet lacks the scale.
        """
        if scale not in self.description.scales:
            known = ", ".join(f"×{known}" for known in self.description.scales)
            raise ValueError(f"this net upscales {known}, not ×{scale}")
        return self.subnet_module(self.largest(scale))


class SubnetModule(nn.Module):
    """A subnet that computes with the parameters of its supernet, so that training it trains the supernet."""

    def __init__(self, supernet: Supernet, subnet: Subnet) -> None:
        super().__init__()
        self.supernet, self.genes, self.training = supernet, subnet, supernet.training
        self.description = Description((subnet["scale"],))
        with torch.device("meta"):
            net = supernet.build_subnet(subnet)
        assert isinstance(net, nn.Module)  # every net is one; a Protocol cannot say so
        # A tuple hides the net from torch, which would otherwise count its empty parameters as this module's.
        self._hidden_net = (net,)

    def forward(self, x: Tensor) -> Tensor:
        """Return SR images of LR images, N×3×H×W in 0..255; clamped to 0..255 in eval mode alone."""
        (net,) = self._hidden_net
        sr: Tensor = functional_call(net.train(self.training), self.supernet.subnet_weights(self.genes), (x,))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the module itself.

        Raises:
            ValueError: for a scale other than the subnet's.
        """
        if scale != self.genes["scale"]:
            raise ValueError(f"this net upscales ×{self.genes['scale']}, not ×{scale}")
        return self


def channel_importance(consumers: Sequence[nn.Conv2d]) -> Tensor:
    """Return the importance of each channel: the L1 norm of the weights that it is multiplied by.

    Args:
        consumers: all convolutions that take these channels.
    """
    return torch.stack([conv.weight.abs().sum((0, 2, 3)) for conv in consumers]).sum(0)


def importance_order(importance: Tensor, first: int) -> Tensor:
    """Return an order of channels: the first ones by descending importance, the others where they are.

    Args:
        importance: of each channel.
        first: how many channels to sort.

    Returns:
        The indices of the channels in this order.
    """
    by_importance = importance[:first].argsort(descending=True, stable=True)
    return torch.cat([by_importance, torch.arange(first, len(importance), device=by_importance.device)])
