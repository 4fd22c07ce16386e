"""The super-resolution nets. A net describes itself, so that nothing else asks which net it is.

A model is a package, at least a file ``<name>/__init__.py``, whose ``build(scales, **net)`` returns a torch module that
is a :class:`SuperResolutionNet`.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Description:
    """The scales, the training colour, the input and the output of a net.

    Attributes:
        scales: the factors by which the net upscales, or by which a downscaler downscales.
        colour: the colours of the training loss: RGB, or luma alone.
        takes: HR of a downscaler, or of a net that makes the LR image itself during training (``training.joint``).
        gives: LR of a downscaler, else SR.
    """

    scales: tuple[int, ...]
    colour: Literal["RGB", "Y"] = "RGB"
    takes: Literal["LR", "HR"] = "LR"
    gives: Literal["SR", "LR"] = "SR"


class TorchModule(Protocol):
    """The part of ``torch.nn.Module`` that the pipeline uses of a net or a downscaler as a whole."""

    def train(self, mode: bool = True) -> Self:
        """Put the net in train mode, or in eval mode."""

    def eval(self) -> Self:
        """Put the net in eval mode."""

    def to(self, device: torch.device) -> Self:
        """Move all tensors to a device, in place."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters, each once."""

    def buffers(self) -> Iterator[Tensor]:
        """Return all buffers."""

    def get_submodule(self, target: str) -> nn.Module:
        """Return the module of this name."""

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors of all parameters and buffers; every parameter is in it once."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Load what ``state_dict`` returned."""


@runtime_checkable
class SuperResolutionNet(TorchModule, Protocol):
    """A torch module that upscales by one factor or several.

    Attributes:
        description: its scales and its colour.
    """

    description: Description

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net of one scale, which shares the parameters and buffers of the whole net.

        Args:
            scale: the factor by which it upscales.

        Returns:
            A module from a batch of RGB LR images, float N×3×h×w in 0..255, to the RGB SR images, float N×3×sh×sw,
            clamped to 0..255 in eval mode alone.

        Raises:
            ValueError: the net lacks the scale.
        """


def build(model: str, scales: list[int], net: dict[str, Any]) -> SuperResolutionNet:
    """Return the untrained net of ``pipeline_src/models/<model>``, initialised from torch's global generator."""
    module: SuperResolutionNet = importlib.import_module(f"pipeline_src.models.{model}").build(scales, **net)
    return module
