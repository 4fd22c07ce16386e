"""EDSR, a residual net without batch norm (Lim et al., CVPR Workshops 2017, arXiv 1707.02921)."""

from torch import Tensor, nn

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import ClampPixels, FullPrecision, add_mean, one_scale, subtract_mean, upsampler


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip.

    Args:
        channels: features of the input and of the output.
        residual_scale: factor of what the convolutions add; a small one keeps wide nets stable in training.
    """

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(), second)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W."""
        residual: Tensor = self.body(x)
        return x + (residual if self.residual_scale == 1 else residual * self.residual_scale)


class EDSR(nn.Module):
    """Residual blocks and a skip over all of them at the size of the LR image, then the upsampler.

    Args:
        scale: the factor by which the net upscales, 2, 3 or 4.
        channels: features of each convolution.
        blocks: number of residual blocks.
        residual_scale: factor of what a residual block adds.
    """

    def __init__(self, scale: int, channels: int, blocks: int, residual_scale: float) -> None:
        super().__init__()
        self.description = Description((scale,))
        self.sub_mean = FullPrecision(subtract_mean())
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *[ResidualBlock(channels, residual_scale) for _ in range(blocks)],
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.upscale = upsampler(scale, channels, relu=False)
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)
        self.add_mean = FullPrecision(add_mean())
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×3×H×W RGB in 0..255 to N×3×(scale·H)×(scale·W); clamped to 0..255 in eval mode alone."""
        head: Tensor = self.head(self.sub_mean(x))
        sr: Tensor = self.clamp(self.add_mean(self.tail(self.upscale(head + self.body(head)))))
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself.

        Raises:
            ValueError: for another scale.
        """
        return one_scale(self, scale)


def build(scales: list[int], channels: int = 64, blocks: int = 16, residual_scale: float = 1.0) -> SuperResolutionNet:
    """Return an untrained EDSR; the defaults are those of the published baseline.

    The large published net has 256 channels, 32 blocks and a residual scale of 0.1.

    Args:
        scales: the one factor by which the net upscales: 2, 3 or 4.
        channels: features of each convolution.
        blocks: number of residual blocks.
        residual_scale: factor of what a residual block adds.

    Raises:
        ValueError: for several scales, or another one.
    """
    if len(scales) != 1:
        raise ValueError(f"EDSR has one scale, not {scales}")
    return EDSR(scales[0], channels, blocks, residual_scale)
