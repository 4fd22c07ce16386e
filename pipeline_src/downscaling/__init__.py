"""What makes the LR image: each package here is one way, named by ``downscaler.model`` of a system in ``params.yaml``.

``bicubic`` is the protocol's, which ``train.h5`` holds and the evaluation makes; it learns nothing. One that learns has

* ``build(scales, **net)``, which returns an untrained :class:`LearnedDownscaler`;
* ``downscale(net, hr)``, which returns LR, uint8 h×w×3 or h×w, of an HR image, uint8 H×W×3 or H×W, whatever its size.

:mod:`pipeline_src.training.joint` trains it together with the net that upscales.
"""

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from pipeline_src.models import TorchModule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Sampling(Protocol):
    """How the LR images of a batch were sampled: two scalars that may be added to the loss."""

    def offset_distance(self) -> "Tensor":
        """Return how far the taps are from where they stand without offsets, in LR pixels."""

    def partial_variation(self) -> "Tensor":
        """Return how much the offsets differ between neighbouring LR pixels."""


class LearnedDownscaler(TorchModule, Protocol):
    """A torch module from HR to LR of one scale.

    Attributes:
        scale: the factor by which it downscales.
    """

    scale: int

    def __call__(self, hr: "Tensor") -> "tuple[Tensor, Sampling]":
        """Return LR, not rounded to 8 bits, and how it was sampled.

        Args:
            hr: float N×3×H×W in 0..255, of any size.

        Returns:
            LR, float N×3×⌈H/scale⌉×⌈W/scale⌉, and the sampling.
        """

    def in_standard_operators(self) -> "nn.Module":
        """Return a module that computes the same LR, clamped to 0..255, in operators that file formats have."""


def build(model: str, scales: list[int], net: dict[str, Any]) -> LearnedDownscaler:
    """Return the untrained downscaler ``model``, which must be one that learns, from torch's global generator."""
    module: LearnedDownscaler = importlib.import_module(f"{__name__}.{model}").build(scales, **net)
    return module


def downscale(model: str, net: LearnedDownscaler, hr: "np.ndarray") -> "np.ndarray":
    """Return the LR image that a trained ``net`` of the downscaler ``model`` makes of an HR image, both uint8."""
    lr: np.ndarray = importlib.import_module(f"{__name__}.{model}").downscale(net, hr)
    return lr
