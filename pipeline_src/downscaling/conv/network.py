"""The net of the convolutional downscaler."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.imaging.imresize import taps_and_weights
from pipeline_src.models import Description
from pipeline_src.models.layers.operators import mirror_pad, space_to_depth

REACH = 2  # LR pixels on each side of an LR pixel whose HR pixels bicubic sums
TILE, OVERLAP = 512, 32  # LR pixels
LEAST = 8  # HR pixels of a side; a smaller image is mirrored to that, because files take no smaller one
BLACK = -0.5  # of a pixel as the convolutions read it


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

    HR is mirrored at its border as far as bicubic reaches, as MATLAB mirrors an image of doubles. So LR is bicubic's,
    to which something is added, up to its border. Beyond what is mirrored HR is black to the convolutions.

    Args:
        scale: the factor by which it downscales.
        channels: filters of the convolutions but the last one.
        depth: number of convolutions between the first and the last one.
    """

    def __init__(self, scale: int, channels: int, depth: int) -> None:
        super().__init__()
        self.scale = self.multiple = scale
        self.plain = True
        self.tile, self.overlap = TILE * scale, OVERLAP * scale
        self.to_channels = nn.PixelUnshuffle(scale)
        self.bicubic = nn.Conv2d(3 * scale**2, 3, 2 * REACH + 1, bias=False)
        self.bicubic.weight = nn.Parameter(bicubic_kernel(scale), requires_grad=False)
        widths = [3 * scale**2, *[channels] * (depth + 1)]
        hidden = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths)]
        hidden[0].padding = (0, 0)  # its border is black, and not 0
        last = nn.Conv2d(channels, 3, 3)
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
            the bottom edge to multiples of the scale; and what was added to bicubic's, likewise.
        """
        blocks = self.to_channels(mirror_pad(_whole_blocks(hr.float(), self.scale), REACH * self.scale))
        pixels = functional.pad(blocks / 255 + BLACK, [1] * 4, value=BLACK)
        added = self.body[-1](self.body[:-1](pixels)[..., 1:-1, 1:-1])
        height, width = (-(-side // self.scale) for side in hr.shape[2:])
        added = added[..., :height, :width]
        return self.bicubic(blocks)[..., :height, :width] + 255 * added, Sampling(added)

    def in_standard_operators(self) -> nn.Module:
        """Return the same net for files: HR with sides that are multiples of the scale to LR clamped to 0..255."""
        return Deployed(self)


class Deployed(nn.Module):
    """A :class:`Downscaler` of as few operators as compute it, for files; its weights are copies.

    Bicubic and the last convolution are one, of the image and the features together, so that LR is rounded once, even
    in int8. Pixels stay in 0..255, and channels are in the order of :func:`space_to_depth`.
    """

    def __init__(self, net: Downscaler) -> None:
        super().__init__()
        self.description = Description(scales=(net.scale,), takes="HR", gives="LR")
        self.scale = net.scale
        of_colours = torch.arange(3 * net.scale**2).view(3, -1).T.flatten()  # PixelUnshuffle has colour by colour
        first, *hidden, last = [layer for layer in net.body if isinstance(layer, nn.Conv2d)]
        weight = first.weight[:, of_colours] / 255
        # BLACK is 0 here, so it is no longer in the border of zeros, but in the bias.
        convs = [_convolution(weight, _bias(first) + 255 * BLACK * weight.sum((1, 2, 3)), padding=1)]
        convs += [_convolution(conv.weight, _bias(conv), padding=1) for conv in hidden]
        self.features = nn.Sequential(*[layer for conv in convs for layer in (conv, nn.ReLU())])
        added = functional.pad(255 * last.weight, [REACH - 1] * 4)
        self.last = _convolution(torch.cat([net.bicubic.weight[:, of_colours], added], dim=1), 255 * _bias(last))

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself, whose one scale this must be."""
        assert scale == self.scale
        return self

    def forward(self, hr: Tensor) -> Tensor:
        """Downscale N×3×H×W in 0..255 to N×3×(H/scale)×(W/scale) in 0..255."""
        blocks = space_to_depth(mirror_pad(hr, REACH * self.scale), self.scale)
        lr: Tensor = self.last(torch.cat([blocks, self.features(blocks)], dim=1))
        return torch.clamp(lr, 0, 255)


def _whole_blocks(hr: Tensor, scale: int) -> Tensor:
    """Return HR mirrored at its right and bottom edge to multiples of the scale, of ``LEAST`` pixels or more."""
    sides = [max(side, LEAST) for side in hr.shape[2:]]
    height, width = (side + -side % scale for side in sides)
    if (height, width) == hr.shape[2:]:
        return hr
    pad = LEAST + scale
    padded: Tensor = mirror_pad(hr, pad)
    return padded[..., pad : pad + height, pad : pad + width]


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _convolution(weight: Tensor, bias: Tensor, padding: int = 0) -> nn.Conv2d:
    """Return a convolution with copies of a weight and a bias."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=padding)
    conv.weight, conv.bias = (nn.Parameter(tensor.detach().clone().contiguous()) for tensor in (weight, bias))
    return conv


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
