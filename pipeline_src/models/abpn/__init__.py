"""ABPN, the anchor-based plain net for int8 on mobile NPUs (Du et al., CVPR Workshops 2021, arXiv 2105.09750)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description
from pipeline_src.models.layers import ClampPixels, DepthToSpace, in_full_precision, one_scale

RESIDUALS = ("anchor", "nearest", "bilinear", "feature", "none")


class ABPN(nn.Module):
    """A plain stack of 3×3 convolutions that predicts the difference to the anchor, the nearest-neighbour upscaling.

    Float NCHW RGB in 0..255 on both sides, no mean shift, any height and width. The anchor is the input repeated
    scale² times on the channels, which after depth-to-space is nearest-neighbour upscaling: one CONCATENATION, where a
    resize would cost a mobile NPU its real time.

    The paper's other residuals: to the ``nearest`` or ``bilinear`` resize of the input; of the features, from the first
    convolution over the inner ones (``feature``); or ``none``.
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
            # Start at the upscaled input itself. With Glorot's weights here the first steps have to unlearn a random
            # image; that drives the activations before it to zero, from where some seeds never come back.
            nn.init.zeros_(convs[-1].weight)
        self.body = nn.Sequential(*[layer for conv in convs[:-1] for layer in (conv, nn.ReLU())], convs[-1])
        self.tail = 2 * (depth + 1)  # where in the body the features become an image
        self.upscale = DepthToSpace(scale)
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        first = self.body[:2](x)
        features = self.body[2 : self.tail](first)
        if self.residual == "feature":
            features = first + features
        before, last = self.body[self.tail : -1](features), self.body[-1]
        if self.residual in ("feature", "none"):
            return self.upscale(self.clamp(in_full_precision(last, before)))  # no difference, but the image itself
        pixels = last(before)
        if self.residual == "anchor":
            pixels = pixels + torch.cat([x] * self.scale**2, dim=1)
        elif self.residual in ("nearest", "bilinear"):
            return self.clamp(
                self.upscale(pixels) + functional.interpolate(x, scale_factor=self.scale, mode=self.residual)
            )
        return self.upscale(self.clamp(pixels))

    def at_scale(self, scale: int) -> nn.Module:
        """The net, which has one scale."""
        return one_scale(self, scale)


def build(
    scales: list[int], channels: int = 28, depth: int = 4, residual: str = "anchor", image_conv: bool = True
) -> ABPN:
    """ABPN for the one scale of ``scales``: ``depth`` inner convolutions of ``channels`` filters.

    Before the last convolution stands one more, in image space (3·scale² channels) or in feature space. ``residual`` is
    one of anchor, nearest, bilinear, feature, none.
    """
    if len(scales) != 1:
        raise ValueError(f"ABPN has one scale, not {scales}")
    if residual not in RESIDUALS:
        raise ValueError(f"ABPN's residual is one of {', '.join(RESIDUALS)}, not {residual!r}")
    return ABPN(scales[0], channels, depth, residual, image_conv)
