"""EDSR, a residual net without batch norm (Lim et al., CVPR Workshops 2017, arXiv 1707.02921)."""

from torch import Tensor, nn

from pipeline_src.models import Description
from pipeline_src.models.layers import ClampPixels, FullPrecision, add_mean, one_scale, subtract_mean, upsampler


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip; what they add is scaled, which keeps wide nets stable in training."""

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(), second)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        residual = self.body(x)
        return x + (residual if self.residual_scale == 1 else residual * self.residual_scale)


class EDSR(nn.Module):
    """Residual blocks and a skip over all of them at the size of the LR image, then the upsampler; one scale."""

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
        head = self.head(self.sub_mean(x))
        return self.clamp(self.add_mean(self.tail(self.upscale(head + self.body(head)))))

    def at_scale(self, scale: int) -> nn.Module:
        """The net, which has one scale."""
        return one_scale(self, scale)


def build(scales: list[int], channels: int = 64, blocks: int = 16, residual_scale: float = 1.0) -> EDSR:
    """EDSR for the one scale of ``scales``: the baseline; the large one has 256 channels, 32 blocks and scale 0.1."""
    if len(scales) != 1:
        raise ValueError(f"EDSR has one scale, not {scales}")
    return EDSR(scales[0], channels, blocks, residual_scale)
