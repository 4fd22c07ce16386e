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
    """How the LR images of a batch were sampled: scalars that may be added to the loss."""

    def offset_distance(self) -> "Tensor":
        """Return how far the taps are from where they stand without offsets, in LR pixels."""

    def partial_variation(self) -> "Tensor":
        """Return how much the offsets differ between neighbouring LR pixels."""

    def distance_to_bicubic(self) -> "Tensor":
        """Return the mean absolute difference between LR and bicubic's, of pixels in 0..1."""


class LearnedDownscaler(TorchModule, Protocol):
    """A torch module from HR to LR of one scale.

    Attributes:
        scale: the factor by which it downscales.
        multiple: pixels of which the sides of HR are multiples in exported files.
    """

    scale: int
    multiple: int

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


def in_tiles(net: LearnedDownscaler, hr: "np.ndarray", tile: int, overlap: int, multiple: int) -> "np.ndarray":
    """Downscale an image of any size, in tiles that leave no seams.

    Args:
        net: a trained downscaler.
        hr: uint8, H×W×3 or H×W.
        tile: greatest side of a tile in HR pixels.
        overlap: HR pixels that neighbouring tiles share; twice as far as the net sees.
        multiple: HR pixels of which starts and seams of tiles are multiples.

    Returns:
        LR, uint8, ⌈H/scale⌉×⌈W/scale⌉×3, or without the 3 if ``hr`` has no colour.
    """
    import numpy as np
    import torch

    from pipeline_src.imaging.colour import as_rgb, to_grey
    from pipeline_src.imaging.tiles import spans

    scale = net.scale
    device = next(net.parameters()).device
    rgb = as_rgb(hr)
    lr = np.empty((*(-(-side // scale) for side in rgb.shape[:2]), 3), np.uint8)
    for top, rows in spans(rgb.shape[0], tile, overlap, multiple):
        for left, columns in spans(rgb.shape[1], tile, overlap, multiple):
            pixels = torch.from_numpy(rgb[top : top + tile, left : left + tile].astype(np.float32)).to(device)
            with torch.inference_mode():
                out, _ = net(pixels.permute(2, 0, 1)[None])
            lr_tile = out[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).cpu().numpy()
            (y0, y1), (x0, x1) = ((span.start // scale, -(-span.stop // scale)) for span in (rows, columns))
            y, x = top // scale, left // scale
            lr[y0:y1, x0:x1] = lr_tile[y0 - y : y1 - y, x0 - x : x1 - x]
    return lr if hr.ndim == 3 else to_grey(lr)
