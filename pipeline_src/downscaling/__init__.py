"""What makes the LR image: each package here is one way, named by ``downscaler.model`` of a system in ``params.yaml``.

``bicubic`` is the protocol's, which ``train.h5`` holds and the evaluation makes, and ``degraded`` is random; they learn
nothing. One that learns has ``build(scales, **net)``, which returns an untrained :class:`LearnedDownscaler`.
:mod:`pipeline_src.training.joint` trains it together with the net that upscales.
"""

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from pipeline_src.models import TorchModule

if TYPE_CHECKING:
    from collections.abc import Callable

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
        multiple: HR pixels of which the sides of images are multiples in exported files, and the seams of tiles.
        tile: greatest side of a tile in HR pixels.
        overlap: HR pixels that neighbouring tiles share; twice as far as the net sees.
        plain: whether :meth:`in_standard_operators` is a net with a ``description`` and of operators that
            ``graph.operations`` has, so that it is quantised and exported as one that upscales is.
    """

    scale: int
    multiple: int
    tile: int
    overlap: int
    plain: bool

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


def downscale(net: LearnedDownscaler, hr: "np.ndarray") -> "np.ndarray":
    """Downscale an image of any size, in tiles that leave no seams.

    Args:
        net: a trained downscaler.
        hr: uint8, H×W×3 or H×W.

    Returns:
        LR, uint8, ⌈H/scale⌉×⌈W/scale⌉×3, or without the 3 if ``hr`` has no colour.
    """
    import numpy as np
    import torch

    device = next(net.parameters()).device

    def by_torch(tile: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(tile.astype(np.float32)).to(device)
        with torch.inference_mode():
            lr, _ = net(pixels.permute(2, 0, 1)[None])
        image: np.ndarray = lr[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).cpu().numpy()
        return image

    return in_tiles(by_torch, net, hr)


def in_tiles(of_tile: "Callable[[np.ndarray], np.ndarray]", net: LearnedDownscaler, hr: "np.ndarray") -> "np.ndarray":
    """Downscale an image as :func:`downscale` does, by any function that computes what a downscaler does.

    Args:
        of_tile: from uint8 H×W×3 of any size to uint8 ⌈H/scale⌉×⌈W/scale⌉×3.
        net: the downscaler, which says how tiles are cut.
        hr: uint8, H×W×3 or H×W.
    """
    import numpy as np

    from pipeline_src.imaging.colour import as_rgb, to_grey
    from pipeline_src.imaging.tiles import spans

    scale, tile = net.scale, net.tile
    rgb = as_rgb(hr)
    lr = np.empty((*(-(-side // scale) for side in rgb.shape[:2]), 3), np.uint8)
    for top, rows in spans(rgb.shape[0], tile, net.overlap, net.multiple):
        for left, columns in spans(rgb.shape[1], tile, net.overlap, net.multiple):
            lr_tile = of_tile(rgb[top : top + tile, left : left + tile])
            (y0, y1), (x0, x1) = ((span.start // scale, -(-span.stop // scale)) for span in (rows, columns))
            y, x = top // scale, left // scale
            lr[y0:y1, x0:x1] = lr_tile[y0 - y : y1 - y, x0 - x : x1 - x]
    return lr if hr.ndim == 3 else to_grey(lr)


def mirrored(image: "Tensor", least: int, multiple: int) -> "Tensor":
    """Return N×C×H×W mirrored at its right and bottom edge, repeatedly if needed, to sides that a net can take.

    Args:
        image: of any size.
        least: smallest side.
        multiple: of which the sides become multiples.
    """
    import torch

    for axis in (2, 3):
        length = image.shape[axis]
        padded_length = max(least, -(-length // multiple) * multiple)
        if padded_length != length:
            period = max(2 * (length - 1), 1)
            index = torch.arange(padded_length, device=image.device) % period
            image = image.index_select(axis, torch.minimum(index, period - index))
    return image
