"""The net of the convolutional downscaler."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.downscaling import mirrored
from pipeline_src.imaging.imresize import taps_and_weights

REACH = 2  # LR pixels on each side of an LR pixel whose HR pixels bicubic sums
TILE, OVERLAP = 512, 32  # LR pixels
LEAST = REACH + 1  # LR pixels of a side; of fewer the border cannot be mirrored


class Sampling(NamedTuple):
    """How LR was made: on a regular grid, and of bicubic's LR.

    Attributes:
        added: what was added to bicubic's LR, N×3×h×w in 0..1.
    """

    added: Tensor

    def offset_distance(self) -> Tensor:
        """Return 0."""
        return self.added.new_zeros(())

    def partial_variation(self) -> Tensor:
        """Return 0."""
        return self.added.new_zeros(())

    def distance_to_bicubic(self) -> Tensor:
        """Return the mean absolute difference between LR and bicubic's, of pixels in 0..1."""
        return self.added.float().abs().mean()


class Downscaler(nn.Module):
    """Bicubic and what 3×3 convolutions add to it, both on HR whose blocks of scale×scale pixels became channels.

    Args:
        scale: the factor by which it downscales.
        channels: filters of the convolutions but the last one.
        depth: number of convolutions between the first and the last one.
    """

    def __init__(self, scale: int, channels: int, depth: int) -> None:
        super().__init__()
        self.scale = self.multiple = scale
        self.tile, self.overlap = TILE * scale, OVERLAP * scale
        self.to_channels = nn.PixelUnshuffle(scale)
        self.bicubic = nn.Conv2d(3 * scale**2, 3, 2 * REACH + 1, bias=False)
        self.bicubic.weight = nn.Parameter(bicubic_kernel(scale), requires_grad=False)
        widths = [3 * scale**2, *[channels] * (depth + 1)]
        hidden = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths)]
        last = nn.Conv2d(channels, 3, 3, padding=1)
        for conv in hidden:
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(last.weight)  # it starts as bicubic
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.body = nn.Sequential(*[layer for conv in hidden for layer in (conv, nn.ReLU())], last)

    def forward(self, hr: Tensor) -> tuple[Tensor, Sampling]:
        """Downscale HR of any size.

        Args:
            hr: N×3×H×W in 0..255.

        Returns:
            LR, N×3×⌈H/scale⌉×⌈W/scale⌉, neither rounded nor clamped to 0..255, of HR that is mirrored at the right and
            the bottom edge to multiples of the scale; and what was added to bicubic's.
        """
        height, width = (-(-side // self.scale) for side in hr.shape[2:])
        blocks = self.to_channels(mirrored(hr.float(), LEAST * self.scale, self.scale))
        bicubic, added = self.of_blocks(blocks)
        return (bicubic + 255 * added)[..., :height, :width], Sampling(added)

    def of_blocks(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Return bicubic's LR in 0..255, and what is added to it in 0..1, both N×3×h×w.

        Args:
            blocks: HR as N×(3·scale²)×h×w in 0..255.
        """
        bicubic = self.bicubic(functional.pad(blocks, [REACH] * 4, "reflect"))
        return bicubic, self.body(blocks / 255 - 0.5)

    def in_standard_operators(self) -> nn.Module:
        """Return the same net for files: HR with sides that are multiples of the scale to LR clamped to 0..255."""
        return _Standard(self)


class _Standard(nn.Module):
    def __init__(self, net: Downscaler) -> None:
        super().__init__()
        self.net = net

    def forward(self, hr: Tensor) -> Tensor:
        """Downscale N×3×H×W in 0..255 to N×3×(H/scale)×(W/scale) in 0..255."""
        bicubic, added = self.net.of_blocks(self.net.to_channels(hr))
        return (bicubic + 255 * added).clamp(0, 255)


def bicubic_kernel(scale: int) -> Tensor:
    """Return MATLAB's bicubic as a convolution of blocks: float 3×(3·scale²)×5×5."""
    side = (2 * REACH + 1) * scale
    taps, weights = taps_and_weights(3 * side, 1 / scale, "uint8")
    line = torch.zeros(side, dtype=torch.float64)
    middle = len(taps) // 2
    line.index_add_(0, torch.from_numpy(taps[middle] - scale * (middle - REACH)), torch.from_numpy(weights[middle]))
    of_one = (line[:, None] * line).reshape(2 * REACH + 1, scale, 2 * REACH + 1, scale).permute(1, 3, 0, 2)
    kernel = torch.zeros(3, 3, scale**2, 2 * REACH + 1, 2 * REACH + 1)
    for colour in range(3):
        kernel[colour, colour] = of_one.reshape(scale**2, 2 * REACH + 1, 2 * REACH + 1).float()
    return kernel.flatten(1, 2)
