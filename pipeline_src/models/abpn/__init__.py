"""ABPN, the anchor-based plain net for int8 on mobile NPUs (Du et al., CVPR Workshops 2021, arXiv 2105.09750)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import ClampPixels, in_full_precision, one_scale
from pipeline_src.models.layers.operators import DepthToSpace
from pipeline_src.models.layers.plain import PlainStack

RESIDUALS = ("anchor", "nearest", "bilinear", "feature", "none")


class ABPN(nn.Module):
    """A plain stack of 3×3 convolutions that predicts the difference to the anchor, the nearest-neighbour upscaling.

    Values are RGB in 0..255 throughout, without a mean shift. The anchor is the input repeated scale² times on the
    channels, which depth-to-space turns into the nearest-neighbour upscaling. It is a single CONCATENATION, where a
    resize is slow on a mobile NPU.

    Args:
        scale: the factor by which the net upscales.
        channels: filters of the first and of the inner convolutions.
        depth: number of inner convolutions.
        residual: ``anchor``, or one of the residuals that the paper compares with it: the ``nearest`` or ``bilinear``
            resize of the input, a skip of the features over the inner convolutions (``feature``), or ``none``.
        image_conv: whether the convolution before the last one has 3·scale² filters, and not ``channels``.
    """

    def __init__(self, scale: int, channels: int, depth: int, residual: str, image_conv: bool) -> None:
        super().__init__()
        self.description = Description(scales=(scale,))
        self.scale = scale
        self.residual = residual
        image = 3 * scale**2
        widths = [3, *[channels] * (depth + 1), image if image_conv else channels, image]
        convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths)]
        for conv in convs:
            nn.init.xavier_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        if residual in ("anchor", "nearest", "bilinear"):
            # Start at the upscaled input itself. With Glorot's weights the first steps have to unlearn a random image,
            # which drives the activations before it to zero, and with some seeds they stay there.
            nn.init.zeros_(convs[-1].weight)
        self.body = nn.Sequential(*[layer for conv in convs[:-1] for layer in (conv, nn.ReLU())], convs[-1])
        self.tail = 2 * (depth + 1)  # where in the body the features become an image
        self.upscale = DepthToSpace(scale)
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255 to N×3×(scale·H)×(scale·W); clamped to 0..255 in eval mode alone."""
        sr: Tensor
        first = self.body[:2](x)
        features = self.body[2 : self.tail](first)
        if self.residual == "feature":
            features = first + features
        features, last = self.body[self.tail : -1](features), self.body[-1]
        if self.residual in ("feature", "none"):  # the last convolution gives pixels, and not a difference
            sr = self.upscale(self.clamp(in_full_precision(last, features)))
        elif self.residual == "anchor":
            sr = self.upscale(self.clamp(last(features) + torch.cat([x] * self.scale**2, dim=1)))
        else:
            difference = self.upscale(last(features))
            sr = self.clamp(difference + functional.interpolate(x, scale_factor=self.scale, mode=self.residual))
        return sr

    def plain(self) -> PlainStack:
        """Return the convolutions, as which a larger net can begin (:mod:`pipeline_src.models.growing`).

        Raises:
            ValueError: for another residual than the anchor.
        """
        if self.residual != "anchor":
            raise ValueError(f"ABPN with the residual {self.residual} is no stack of 3×3 convolutions and an anchor")
        *hidden, last = [layer for layer in self.body if isinstance(layer, nn.Conv2d)]
        return PlainStack(hidden, {self.scale: last})

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself.

        Raises:
            ValueError: for another scale.
        """
        return one_scale(self, scale)


def build(
    scales: list[int], channels: int = 28, depth: int = 4, residual: str = "anchor", image_conv: bool = True
) -> SuperResolutionNet:
    """Return an untrained ABPN; the defaults are those of the paper.

    Args:
        scales: the one factor by which the net upscales.
        channels: filters of the first and of the inner convolutions.
        depth: number of inner convolutions.
        residual: ``anchor``, ``nearest``, ``bilinear``, ``feature`` or ``none``.
        image_conv: whether the convolution before the last one has 3·scale² filters, and not ``channels``.

    Raises:
        ValueError: for several scales, or an unknown residual.
    """
    if len(scales) != 1:
        raise ValueError(f"ABPN has one scale, not {scales}")
    if residual not in RESIDUALS:
        raise ValueError(f"ABPN's residual is one of {', '.join(RESIDUALS)}, not {residual!r}")
    return ABPN(scales[0], channels, depth, residual, image_conv)
