"""Nets that are larger in training than in the file: linear branches beside a convolution, which collapse into it.

Branches without an activation between their layers are a convolution themselves, whose kernel is a function of theirs
(SESR, Bhardwaj et al., MLSys 2022; ECBSR, Zhang et al., ACM MM 2021). So the net computes with that one kernel in
training too, as SESR's authors do, and a step costs hardly more than without branches. What changes is the path that
the optimiser takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pipeline_src.config import Reparameterise

EDGES = (  # the filters of ECBSR: Sobel's two and Laplace's
    ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
)


class Branches(nn.Module):
    """Beside a kernel: what linear branches amount to."""

    def branches(self) -> Tensor:
        """Return the kernel that all branches amount to, outputs×inputs×3×3."""
        raise NotImplementedError

    def forward(self, beside: Tensor) -> Tensor:
        """Return the kernel that the net computes with, of the plain kernel beside the branches."""
        return beside + self.branches()

    def right_inverse(self, kernel: Tensor) -> Tensor:
        """Return the plain kernel with which the net computes with ``kernel``: nothing changes when branches are added.

        Args:
            kernel: outputs×inputs×3×3.
        """
        return kernel - self.branches()


class Expanded(Branches):
    """Beside a 3×3 kernel: a 1×1, a 3×3 and a 1×1 convolution over ``expansion`` times its channels.

    Args:
        inputs: channels that the convolution reads.
        outputs: channels that it writes.
        expansion: inner channels, as a multiple of these.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__()
        self.expand = nn.Parameter(_glorot(expansion * inputs, inputs, 1, 1))
        self.mix = nn.Parameter(_glorot(expansion * outputs, expansion * inputs, 3, 3))
        self.project = nn.Parameter(_glorot(outputs, expansion * outputs, 1, 1))

    def branches(self) -> Tensor:
        """Return the kernel that the three convolutions amount to, outputs×inputs×3×3."""
        return torch.einsum("op,pqhw,qi->oihw", self.project[..., 0, 0], self.mix, self.expand[..., 0, 0])


class EdgeOriented(Branches):
    """Beside a 3×3 kernel: the branches of ECBSR, each a 1×1 convolution and a 3×3 one behind it.

    One of the 3×3 convolutions is free, over ``expansion`` times the outputs; the others are the filters of
    :data:`EDGES`, each scaled by a number per channel.

    Args:
        inputs: channels that the convolution reads.
        outputs: channels that it writes.
        expansion: inner channels of the free branch, as a multiple of ``outputs``.
    """

    edges: Tensor

    def __init__(self, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__()
        self.expand = nn.Parameter(_glorot(expansion * outputs, inputs, 1, 1))
        self.mix = nn.Parameter(_glorot(outputs, expansion * outputs, 3, 3))
        self.to_edges = nn.Parameter(torch.stack([_glorot(outputs, inputs, 1, 1)[..., 0, 0] for _ in EDGES]))
        self.scales = nn.Parameter(1e-3 * torch.randn(len(EDGES), outputs))
        self.register_buffer("edges", torch.tensor(EDGES), persistent=False)

    def branches(self) -> Tensor:
        """Return the kernel that all branches amount to, outputs×inputs×3×3."""
        free = torch.einsum("oqhw,qi->oihw", self.mix, self.expand[..., 0, 0])
        return free + torch.einsum("eo,eoi,ehw->oihw", self.scales, self.to_edges, self.edges)


KINDS = {"expanded": Expanded, "edges": EdgeOriented}


@contextmanager
def reparameterised(net: object, how: Reparameterise | None) -> Iterator[None]:
    """Give every 3×3 convolution of a net branches, and collapse them into its kernel at the end.

    The net gives the same images before and after either, and its parameters have the same names and shapes at the end
    as at the beginning. Convolutions in groups stay as they are.

    Args:
        net: a torch module, changed in place; the branches are initialised from torch's global generator.
        how: the kind of branches and their size; None leaves the net as it is.
    """
    assert isinstance(net, nn.Module)
    if how is None:
        yield
        return
    convs = _plain_convolutions(net)
    for conv in convs:
        branches = KINDS[how.kind](conv.in_channels, conv.out_channels, how.expansion).to(conv.weight.device)
        parametrize.register_parametrization(conv, "weight", branches)
    try:
        yield
    finally:
        for conv in convs:
            parametrize.remove_parametrizations(conv, "weight", leave_parametrized=True)


def _plain_convolutions(net: nn.Module) -> list[nn.Conv2d]:
    convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    return [conv for conv in convs if conv.kernel_size == (3, 3) and conv.groups == 1]


def _glorot(*shape: int) -> Tensor:
    return nn.init.xavier_normal_(torch.empty(shape))
