"""CAR's downscaler (Sun & Chen, TIP 2020, arXiv 1907.12904): a net that gives each LR pixel its kernel and offsets."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.downscaling.car.resampler import adaptive_resample, by_grid_sample, taps_of
from pipeline_src.models.layers import FullPrecision, in_full_precision, subtract_mean

SMALLEST = 1e-6  # of a tap before the kernel is normalised
MULTIPLE = 8  # of the sides of HR: the net goes down to an eighth
LEAST = 16  # pixels a side: less cannot be mirrored at an eighth
# Of an untrained net's kernels: deviation in LR pixels, most and least tap. As they are normalised, PEAK says how far a
# step moves them: from 0.05 a few steps of Adam carried most taps below 0, where they have no gradient and stay.
SPREAD, PEAK, FLOOR = 0.4, 0.5, 5e-4


class Sampling(NamedTuple):
    """Kernels and offsets of LR pixels, N×k²×h×w each: kernels sum to 1, offsets are −1..1 LR pixels."""

    kernels: Tensor
    down: Tensor
    across: Tensor

    def offset_distance(self) -> Tensor:
        """The paper's regulariser of the offsets: how far taps stray, those far from the centre counting most.

        In LR pixels, the mean over them, so that its weight means the same whatever the size of the crops.
        """
        k = round(self.kernels.shape[1] ** 0.5)
        along = torch.arange(k, device=self.kernels.device) - k // 2
        far = torch.hypot(along[:, None].float(), along.float()).flatten() / (2**0.5 * (k / 2))
        # The root has no slope at 0, where the offsets begin.
        stray = (self.down.square() + self.across.square() + 1e-12).sqrt()
        return (stray * far[:, None, None]).sum(1).mean()

    def partial_variation(self) -> Tensor:
        """The paper's partial total variation: of vertical offsets along x, horizontal ones along y, by kernel weight.

        Summed over taps, mean over LR pixels (the published code sums over them, and so depends on the crop).
        """
        kernels, down, across = self
        along_x = (kernels[..., 1:] * (down[..., 1:] - down[..., :-1]).abs()).sum(1)
        along_y = (kernels[..., 1:, :] * (across[..., 1:, :] - across[..., :-1, :]).abs()).sum(1)
        return along_x.mean() + along_y.mean()


def conv(inputs: int, outputs: int, side: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size, its border mirrored."""
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, a leaky ReLU between them, and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.2), conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Downscaler(nn.Module):
    """HR to LR: the kernel generator and the resampler. One scale, ×2 or ×4.

    ``entry``, ``features`` and ``head`` are channels at full size, at a quarter and at an eighth; published 64, 128,
    256 and 5 ``blocks``. ``offsets`` off leaves the taps where they are.
    """

    def __init__(self, scale: int, entry: int, features: int, head: int, blocks: int, offsets: bool) -> None:
        super().__init__()
        self.scale, self.offsets = scale, offsets
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
                # torch's own start halves a signal from layer to layer, and then all ReLUs of a head die together
                nn.init.kaiming_normal_(module.weight, 0.2, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        _begin_with_gaussians(self.kernels[-1], scale)
        for parameter in (*self.down[-1].parameters(), *self.across[-1].parameters()):
            nn.init.zeros_(parameter)

    def sampling(self, hr: Tensor) -> Sampling:
        """How the LR pixels are sampled of HR, N×3×H×W in 0..255, H and W multiples of 8."""
        x = self.stem(self.sub_mean(hr))
        x = self.squeeze(x + self.blocks(x))
        kernels = in_full_precision(_normalised, self.kernels(self.kernel_trunk(x)))
        if not self.offsets:
            return Sampling(kernels, torch.zeros_like(kernels), torch.zeros_like(kernels))
        trunk = self.offset_trunk(x)
        return Sampling(kernels, *(torch.tanh(offset(trunk)).float() for offset in (self.down, self.across)))

    def forward(self, hr: Tensor) -> tuple[Tensor, Sampling]:
        """LR of HR, N×3×H×W in 0..255 of any size: N×3×⌈H/s⌉×⌈W/s⌉, neither rounded nor quite within 0..255.

        And how it was sampled, of HR mirrored at its right and bottom edge to a multiple of 8.
        """
        height, width = (-(-side // self.scale) for side in hr.shape[2:])
        hr = mirrored_to_multiple(hr.float())
        sampling = self.sampling(hr)
        return adaptive_resample(self.padded(hr), *sampling, self.scale)[..., :height, :width], sampling

    def padded(self, hr: Tensor) -> Tensor:
        """HR with the border that the taps reach, mirrored."""
        return functional.pad(hr, [taps_of(self.scale) // 2] * 4, "reflect")

    def in_standard_operators(self) -> nn.Module:
        """The same for files, from HR of sides that are multiples of 8, 16 at the least, to LR within 0..255."""
        return _Standard(self)


class _Standard(nn.Module):
    def __init__(self, net: Downscaler) -> None:
        super().__init__()
        self.net = net

    def forward(self, hr: Tensor) -> Tensor:
        sampling = self.net.sampling(hr)
        return by_grid_sample(self.net.padded(hr), *sampling, self.net.scale).clamp(0, 255)


def mirrored_to_multiple(image: Tensor) -> Tensor:
    """N×C×H×W mirrored at the right and the bottom edge, as often as it takes, to sides that the net can take."""
    for axis in (2, 3):
        length = image.shape[axis]
        whole = max(LEAST, -(-length // MULTIPLE) * MULTIPLE)
        if whole != length:
            there_and_back = max(2 * (length - 1), 1)
            place = torch.arange(whole, device=image.device) % there_and_back
            image = image.index_select(axis, torch.minimum(place, there_and_back - place))
    return image


def _trunk(channels: int, up: int) -> nn.Sequential:
    same = [layer for _ in range(3) for layer in (conv(channels, channels), nn.ReLU())]
    return nn.Sequential(
        *same,
        nn.Conv2d(channels, channels * up**2, 1),
        nn.PixelShuffle(up),
        conv(channels, channels),
        nn.ReLU(),
    )


def _head(channels: int, taps: int) -> nn.Sequential:
    return nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, taps))


def _begin_with_gaussians(last: nn.Module, scale: int) -> None:
    """Let the untrained net be a good plain downscaler, all of whose taps have a gradient.

    From random kernels, half of them clamped, it learns slowly. The published initialisation is not stated.
    """
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    k = taps_of(scale)
    along = torch.exp(-((torch.arange(k) - k // 2) ** 2) / (2 * (SPREAD * scale) ** 2))
    kernel = along[:, None] * along
    nn.init.zeros_(last.weight)
    last.bias.data = PEAK * kernel.flatten() + FLOOR


def _normalised(kernels: Tensor) -> Tensor:
    """Kernels of sum 1: each tap clamped to 1e-6..1, which leaves what is clamped no gradient, over their sum."""
    taps = kernels.clamp(SMALLEST, 1)
    return taps / taps.sum(1, keepdim=True).clamp(min=SMALLEST)
