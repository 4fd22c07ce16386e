"""VDSR, a deep stack of 3×3 convolutions on luma (Kim et al., CVPR 2016, arXiv 1511.04587)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline_src.models import Description
from pipeline_src.models.layers import (
    Y_OF_RGB,
    Y_RANGE,
    BicubicUpscale,
    ByScale,
    ClampPixels,
    FixedConv,
    FullPrecision,
    one_scale,
)


class VDSR(nn.Module):
    """Predicts what bicubic upscaling lacks in Y; one net for all scales, at the size of the SR image.

    The published net takes the upscaled Y, in 0..1. Here it takes RGB, as every net: the bicubic upscaling is fixed
    operators of its own, and what the net adds to Y goes to R, G and B alike, by 255/219. As YCbCr to RGB is linear,
    that is the new Y beside the bicubic Cb and Cr.
    """

    def __init__(self, scales: list[int], channels: int, depth: int) -> None:
        super().__init__()
        self.description = Description(tuple(scales), colour="Y")
        widths = [1, *[channels] * (depth - 1), 1]
        convs = [nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(widths)]
        for conv in convs:
            nn.init.normal_(conv.weight, std=(2 / (9 * conv.out_channels)) ** 0.5)  # He et al.'s, by fan-out
        self.upscale = FullPrecision(ByScale({scale: BicubicUpscale(scale) for scale in scales}))
        to_y = torch.tensor(Y_OF_RGB).reshape(1, 3, 1, 1) / 255
        self.luma = FullPrecision(FixedConv(to_y, torch.tensor([16 / 255])))
        self.body = nn.Sequential(*[layer for conv in convs[:-1] for layer in (conv, nn.ReLU())], convs[-1])
        self.to_rgb = FullPrecision(FixedConv(torch.full((3, 1, 1, 1), 255 / Y_RANGE)))
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        bicubic = self.upscale(x)
        return self.clamp(bicubic + self.to_rgb(self.body(self.luma(bicubic))))

    def at_scale(self, scale: int) -> nn.Module:
        """The net of one of its scales; only the bicubic upscaling differs."""
        return one_scale(self, scale)


def build(scales: list[int], channels: int = 64, depth: int = 20) -> VDSR:
    """VDSR of ``depth`` convolutions, two or more, all but the last of ``channels`` filters."""
    if depth < 2:
        raise ValueError(f"VDSR has 2 convolutions or more, not {depth}")
    return VDSR(scales, channels, depth)
