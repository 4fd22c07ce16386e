"""ABPN, the anchor-based plain net for int8 on mobile NPUs (Du et al., CVPR Workshops 2021, arXiv 2105.09750)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline_src.models import Description
from pipeline_src.models.layers import DepthToSpace


class ABPN(nn.Module):
    """A plain stack of 3×3 convolutions that predicts the difference to the anchor, the nearest-neighbour upscaling.

    Float NCHW RGB in 0..255 on both sides, no mean shift, any height and width. The anchor is the input repeated
    scale² times on the channels, which after depth-to-space is nearest-neighbour upscaling: one CONCATENATION, where a
    resize would cost a mobile NPU its real time.
    """

    def __init__(self, scale: int, channels: int, depth: int) -> None:
        super().__init__()
        self.description = Description(scales=(scale,))
        self.scale = scale
        image = 3 * scale**2
        widths = [3, *[channels] * (depth + 1), image, image]
        convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths)]
        for conv in convs:
            nn.init.xavier_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        # Start at the anchor itself. With Glorot's weights here the first steps have to unlearn a random image; that
        # drives the activations before it to zero, from where some seeds never come back.
        nn.init.zeros_(convs[-1].weight)
        self.body = nn.Sequential(*[layer for conv in convs[:-1] for layer in (conv, nn.ReLU())], convs[-1])
        self.upscale = DepthToSpace(scale)

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.body(x) + torch.cat([x] * self.scale**2, dim=1)
        # Not in training: a clamped pixel has no gradient, and a net that has once saturated would stay so for ever.
        return self.upscale(pixels if self.training else torch.clamp(pixels, 0, 255))

    def at_scale(self, scale: int) -> nn.Module:
        """The net itself: it has one scale."""
        if scale != self.scale:
            raise ValueError(f"this net upscales ×{self.scale}, not ×{scale}")
        return self


def build(scales: list[int], channels: int = 28, depth: int = 4) -> ABPN:
    """ABPN for the one scale of ``scales``: ``depth`` inner convolutions of ``channels`` filters."""
    if len(scales) != 1:
        raise ValueError(f"ABPN has one scale, not {scales}")
    return ABPN(scales[0], channels, depth)
