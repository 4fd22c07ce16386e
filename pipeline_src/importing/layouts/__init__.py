"""The layouts of published nets: how their weights are named and ordered, and which of ours they become."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from pipeline_src.importing.layouts import abpn, car, carn, ecdn, edsr, vdsr
from pipeline_src.importing.rules import Rules


class Layout(Protocol):
    """A module of this package.

    Attributes:
        SEVERAL_SCALES: whether one net has several scales.
    """

    SEVERAL_SCALES: bool

    def scales_of(self, tensors: Mapping[str, Tensor]) -> list[int]:
        """Return the scales of the net of a file; none if the file does not show them."""

    def rules_of(self, net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
        """Return the rules for our net of some scales, and a file with these tensors."""


NETS: dict[str, Layout] = {"abpn": abpn, "carn": carn, "ecdn": ecdn, "edsr": edsr, "vdsr": vdsr}
DOWNSCALERS: dict[str, Layout] = {"car": car}
