"""The net of CAR (Sun & Chen, IEEE TIP 2020, arXiv 1907.12904), which gives each LR pixel its kernel and offsets."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.downscaling import mirrored
from pipeline_src.downscaling.car.resampler import adaptive_resample, by_grid_sample, taps_of
from pipeline_src.models.layers import FullPrecision, in_full_precision, subtract_mean

SMALLEST = 1e-6  # least value of a tap before the kernel is normalised
MULTIPLE = 8  # the sides of HR are multiples of it, because the net has features at an eighth of the size
# HR pixels. The kept part of a tile is 128 pixels from its border, and a net of MOST_BLOCKS blocks sees as far as 122.
TILE, OVERLAP = 768, 256
LEAST = 16  # pixels of a side of HR; features of fewer cannot be mirrored at an eighth of the size
# Kernels of an untrained net: standard deviation in LR pixels, largest and smallest tap. Kernels are normalised, so
# PEAK decides how far a step moves them. With 0.05 a few steps of Adam moved most taps below 0, where they have no
# gradient.
SPREAD, PEAK, FLOOR = 0.4, 0.5, 5e-4


class Sampling(NamedTuple):
    """How each LR pixel is sampled from HR; all tensors are N×k²×h×w, for k×k taps.

    Attributes:
        kernels: the weights of the taps, which sum to 1.
        down: vertical offsets of the taps in LR pixels, −1..1.
        across: horizontal offsets of the taps in LR pixels, −1..1.
    """

    kernels: Tensor
    down: Tensor
    across: Tensor

    def offset_distance(self) -> Tensor:
        """Return the paper's regulariser of the offsets: their lengths, weighted by the taps' distance to the centre.

        It is the sum over taps and the mean over LR pixels, so that its weight does not depend on the size of crops.

        Returns:
            A scalar, in LR pixels.
        """
        k = round(self.kernels.shape[1] ** 0.5)
        position = torch.arange(k, device=self.kernels.device) - k // 2
        distance = torch.hypot(position[:, None].float(), position.float()).flatten() / (2**0.5 * (k / 2))
        # The root of 0 has no gradient, and the offsets begin at 0.
        length = (self.down.square() + self.across.square() + 1e-12).sqrt()
        weighted: Tensor = (length * distance[:, None, None]).sum(1)
        return weighted.mean()

    def partial_variation(self) -> Tensor:
        """Return the paper's partial total variation, weighted by the kernels.

        It is of vertical offsets along x and of horizontal offsets along y: the sum over taps and the mean over LR
        pixels. The published code sums over LR pixels, and so depends on the size of crops.

        Returns:
            A scalar, in LR pixels.
        """
        kernels, down, across = self
        along_x = (kernels[..., 1:] * (down[..., 1:] - down[..., :-1]).abs()).sum(1)
        along_y = (kernels[..., 1:, :] * (across[..., 1:, :] - across[..., :-1, :]).abs()).sum(1)
        variation: Tensor = along_x.mean() + along_y.mean()
        return variation

    def distance_to_bicubic(self) -> Tensor:
        """Raise NotImplementedError, for CAR knows nothing of bicubic; params.yaml is refused before."""
        raise NotImplementedError


def conv(inputs: int, outputs: int, side: int = 3) -> nn.Conv2d:
    """Return a convolution that keeps the size of the image, with a mirrored border."""
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a leaky ReLU between them, and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.2), conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W."""
        features: Tensor = x + self.body(x)
        return features


class Downscaler(nn.Module):
    """The kernel generator and the resampler, from HR to LR.

    Args:
        scale: the factor by which it downscales, 2 or 4.
        entry: features at the size of HR; 64 in the paper.
        features: features at a quarter of it; 128 in the paper.
        head: features at an eighth of it; 256 in the paper.
        blocks: number of residual blocks; 5 in the paper.
        offsets: whether it learns offsets; without them the taps of each LR pixel are a regular grid.
    """

    def __init__(self, scale: int, entry: int, features: int, head: int, blocks: int, offsets: bool) -> None:
        super().__init__()
        self.scale, self.multiple, self.offsets = scale, MULTIPLE, offsets
        self.plain = False  # its resampler has no counterpart in int8
        self.tile, self.overlap = TILE, OVERLAP
        self.sub_mean = FullPrecision(subtract_mean())
        self.stem = nn.Sequential(
            conv(3, entry, 5),
            nn.LeakyReLU(0.2),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * entry, features, 1),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * features, features, 1),
        )
        self.blocks = nn.Sequential(*[ResidualBlock(features) for _ in range(blocks)])
        self.squeeze = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * features, head, 1))
        self.kernel_trunk, self.offset_trunk = (_trunk(head, MULTIPLE // scale) for _ in range(2))
        taps = taps_of(scale) ** 2
        self.kernels, self.down, self.across = (_head(head, taps) for _ in range(3))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
                # With torch's default the signal halves from layer to layer, and then all ReLUs of a head die together.
                nn.init.kaiming_normal_(module.weight, 0.2, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        _start_with_gaussians(self.kernels[-1], scale)
        for parameter in (*self.down[-1].parameters(), *self.across[-1].parameters()):
            nn.init.zeros_(parameter)

    def sampling(self, hr: Tensor) -> Sampling:
        """Return how LR pixels are sampled from HR, N×3×H×W in 0..255, with H and W multiples of 8."""
        x = self.stem(self.sub_mean(hr))
        x = self.squeeze(x + self.blocks(x))
        kernels = in_full_precision(_normalised, self.kernels(self.kernel_trunk(x)))
        if not self.offsets:
            return Sampling(kernels, torch.zeros_like(kernels), torch.zeros_like(kernels))
        trunk = self.offset_trunk(x)
        return Sampling(kernels, *(torch.tanh(offset(trunk)).float() for offset in (self.down, self.across)))

    def forward(self, hr: Tensor) -> tuple[Tensor, Sampling]:
        """Downscale HR of any size.

        Args:
            hr: N×3×H×W in 0..255.

        Returns:
            LR, N×3×⌈H/scale⌉×⌈W/scale⌉, neither rounded nor clamped to 0..255; and how it was sampled from HR that is
            mirrored at the right and the bottom edge to multiples of 8.
        """
        height, width = (-(-side // self.scale) for side in hr.shape[2:])
        hr = mirrored(hr.float(), LEAST, MULTIPLE)
        sampling = self.sampling(hr)
        return adaptive_resample(self.padded(hr), *sampling, self.scale)[..., :height, :width], sampling

    def padded(self, hr: Tensor) -> Tensor:
        """Return HR with a mirrored border as wide as the taps reach."""
        return functional.pad(hr, [taps_of(self.scale) // 2] * 4, "reflect")

    def in_standard_operators(self) -> nn.Module:
        """Return the same net in standard operators, for files.

        It takes HR with sides that are multiples of 8 and at least 16, and returns LR clamped to 0..255.
        """
        return _Standard(self)


class _Standard(nn.Module):
    def __init__(self, net: Downscaler) -> None:
        super().__init__()
        self.net = net

    def forward(self, hr: Tensor) -> Tensor:
        """Downscale N×3×H×W in 0..255 to N×3×(H/scale)×(W/scale) in 0..255."""
        sampling = self.net.sampling(hr)
        return by_grid_sample(self.net.padded(hr), *sampling, self.net.scale).clamp(0, 255)


def _trunk(channels: int, up: int) -> nn.Sequential:
    layers = [layer for _ in range(3) for layer in (conv(channels, channels), nn.ReLU())]
    return nn.Sequential(
        *layers,
        nn.Conv2d(channels, channels * up**2, 1),
        nn.PixelShuffle(up),
        conv(channels, channels),
        nn.ReLU(),
    )


def _head(channels: int, taps: int) -> nn.Sequential:
    return nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, taps))


def _start_with_gaussians(last: nn.Module, scale: int) -> None:
    """Make the kernels of an untrained net Gaussians, whose taps all have a gradient.

    Half of the taps of random kernels would be clamped, and the net would learn slowly. The paper does not state its
    initialisation.
    """
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    k = taps_of(scale)
    gaussian = torch.exp(-((torch.arange(k) - k // 2) ** 2) / (2 * (SPREAD * scale) ** 2))
    kernel = gaussian[:, None] * gaussian
    nn.init.zeros_(last.weight)
    last.bias.data = PEAK * kernel.flatten() + FLOOR


def _normalised(kernels: Tensor) -> Tensor:
    """Return kernels of sum 1, of taps clamped to 1e-6..1; a clamped tap has no gradient."""
    taps = kernels.clamp(SMALLEST, 1)
    return taps / taps.sum(1, keepdim=True).clamp(min=SMALLEST)
