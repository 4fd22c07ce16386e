"""VDSR, a deep stack of 3×3 convolutions on luma (Kim et al., CVPR 2016, arXiv 1511.04587)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline_src.models import Description, SuperResolutionNet
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
    """Predicts what bicubic upscaling lacks in Y: one net for all scales, at the size of the SR image.

    The published net takes the upscaled Y in 0..1. This one takes RGB, as every net here, and has the bicubic upscaling
    as a fixed convolution. What it adds to Y it adds to R, G and B alike, times 255/219. Because the conversion from
    YCbCr to RGB is linear, this is the new Y with the bicubic Cb and Cr.

    Args:
        scales: the factors by which the net upscales.
        channels: filters of every convolution but the last.
        depth: number of convolutions.
    """

    def __init__(self, scales: list[int], channels: int, depth: int) -> None:
        super().__init__()
        self.description = Description(tuple(scales), colour="Y")
        widths = [1, *[channels] * (depth - 1), 1]
        convs = [nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(widths)]
        for conv in convs:
            nn.init.normal_(conv.weight, std=(2 / (9 * conv.out_channels)) ** 0.5)  # He et al. (ICCV 2015), by fan-out
        self.upscale = FullPrecision(ByScale({scale: BicubicUpscale(scale) for scale in scales}))
        to_y = torch.tensor(Y_OF_RGB).reshape(1, 3, 1, 1) / 255
        self.luma = FullPrecision(FixedConv(to_y, torch.tensor([16 / 255])))
        self.body = nn.Sequential(*[layer for conv in convs[:-1] for layer in (conv, nn.ReLU())], convs[-1])
        self.to_rgb = FullPrecision(FixedConv(torch.full((3, 1, 1, 1), 255 / Y_RANGE)))
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255, in the part of :meth:`at_scale`; clamped to 0..255 in eval mode alone."""
        bicubic: Tensor = self.upscale(x)
        sr: Tensor = self.clamp(bicubic + self.to_rgb(self.body(self.luma(bicubic))))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the part of the net that upscales by ``scale``; its parameters are those of the net itself.

        Raises:
            ValueError: if the net lacks the scale.
        """
        return one_scale(self, scale)


def build(scales: list[int], channels: int = 64, depth: int = 20) -> SuperResolutionNet:
    """Return an untrained VDSR; the defaults are those of the paper.

    Args:
        scales: the factors by which the net upscales.
        channels: filters of every convolution but the last.
        depth: number of convolutions, 2 or more.

    Raises:
        ValueError: if there are fewer convolutions.
    """
    if depth < 2:
        raise ValueError(f"VDSR has 2 convolutions or more, not {depth}")
    return VDSR(scales, channels, depth)
