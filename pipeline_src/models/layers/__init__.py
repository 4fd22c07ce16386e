"""Layers that several nets share. All take and return float tensors in NCHW order.

The custom operators are in :mod:`pipeline_src.models.layers.operators`, batch norm is in
:mod:`pipeline_src.models.layers.batch_norm`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models.layers.operators import DepthToSpace, mirror_pad

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # of R, G and B, in 0..1
Y_OF_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # ITU-R BT.601, studio range: 16 + this · RGB, both in 0..255
Y_RANGE = 219 / 255  # Y's share of the range of R, G and B


class ByScale(nn.ModuleDict):
    """A module for each scale of a net; :func:`one_scale` replaces it by the module of one scale."""

    def __init__(self, modules: dict[int, nn.Module]) -> None:
        super().__init__({str(scale): module for scale, module in modules.items()})


def one_scale(net: Any, scale: int) -> nn.Module:
    """Return the part of a net that upscales by ``scale``, with each :class:`ByScale` replaced by its module.

    Parameters and buffers are those of the net itself and not copies. The part has a train or eval mode of its own,
    which begins as that of the net.

    Args:
        net: has a ``description``.
        scale: the factor by which the part upscales.

    Raises:
        ValueError: if the net's description does not list the scale.
    """
    if scale not in net.description.scales:
        known = ", ".join(f"×{known}" for known in net.description.scales)
        raise ValueError(f"this net upscales {known}, not ×{scale}")
    part: Any = _one_scale(net, scale)
    part.description = dataclasses.replace(net.description, scales=(scale,))
    module: nn.Module = part
    return module


def _one_scale(module: nn.Module, scale: int) -> nn.Module:
    if isinstance(module, ByScale):
        return _one_scale(module[str(scale)], scale)
    part = object.__new__(type(module))  # a module of its own, with the same parameters and buffers
    part.__dict__ = dict(module.__dict__)  # copy.copy would refuse a layer with branches (training.reparameterisation)
    part._modules = {name: child and _one_scale(child, scale) for name, child in module._modules.items()}
    return part


def in_full_precision(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``layer(x)`` computed in float32 in mixed precision too.

    Pixels need this, because bfloat16 cannot tell 200 from 200.5.
    """
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return layer(x.float())
    return layer(x)


class FullPrecision(nn.Sequential):
    """Layers that compute in float32 in mixed precision too (:func:`in_full_precision`)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last layer, float32."""
        return in_full_precision(super().forward, x)


class ClampPixels(nn.Module):
    """A clamp to 0..255 in eval mode alone: in training a clamped pixel would have no gradient, and stay saturated."""

    def forward(self, x: Tensor) -> Tensor:
        """Return an image of the same shape, clamped in eval mode."""
        return x if self.training else torch.clamp(x, 0, 255)


def subtract_mean() -> nn.Conv2d:
    """Return the frozen 1×1 convolution from RGB in 0..255 to RGB in 0..1 less the mean of DIV2K (EDSR, CARN)."""
    return _frozen_shift(1 / 255, [-mean for mean in DIV2K_MEAN])


def add_mean() -> nn.Conv2d:
    """Return the inverse of :func:`subtract_mean`."""
    return _frozen_shift(255, [255 * mean for mean in DIV2K_MEAN])


def _frozen_shift(factor: float, shift: list[float]) -> nn.Conv2d:
    conv = nn.Conv2d(3, 3, 1)
    conv.weight.data = factor * torch.eye(3)[:, :, None, None]
    conv.bias.data = torch.tensor(shift)  # type: ignore[union-attr]
    return conv.requires_grad_(False)


class FixedConv(nn.Module):
    """A convolution without padding whose weights are part of the method.

    They are never trained, and neither counted nor stored as parameters.

    Args:
        weight: outputs×inputs×height×width.
        bias: one value per output.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of N×inputs×H×W."""
        return functional.conv2d(x, self.weight, self.bias)


class BicubicUpscale(nn.Module):
    """MATLAB's ``imresize(image, scale, 'bicubic')`` of a double image: Keys' kernel (a = −0.5), mirrored borders.

    The scale² output pixels of an input pixel all depend on the same 5×5 input pixels, so one convolution gives them.

    Args:
        scale: the factor by which it upscales.
        channels: colours of the image.
    """

    def __init__(self, scale: int, channels: int = 3) -> None:
        super().__init__()
        rows = _cubic_kernels(scale)
        kernels = rows[:, None, :, None] * rows[None, :, None, :]
        colours = torch.eye(channels, dtype=torch.float64)
        weight = kernels.reshape(scale**2, 1, 1, 5, 5) * colours[:, :, None, None]
        self.pixels = FixedConv(weight.reshape(scale**2 * channels, channels, 5, 5))
        self.upscale = DepthToSpace(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×channels×H×W of any range to N×channels×(scale·H)×(scale·W), neither rounded nor clipped."""
        upscaled: Tensor = self.upscale(self.pixels(mirror_pad(x, 2)))
        return upscaled


def _cubic_kernels(scale: int) -> Tensor:
    """Return the weights, scale×5 in float64, of the 5 nearest input pixels for each output pixel of an input pixel."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    centres = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    return torch.tensor([[cubic(centre - tap) for tap in range(-2, 3)] for centre in centres], dtype=torch.float64)


class Upscale(nn.Module):
    """A learned 3×3 convolution, optionally ReLU, and depth-to-space.

    Each of the block² output pixels of an input pixel is a phase. A grouped convolution is split into one per phase, so
    that each phase sees all groups: the published topology without a channel shuffle.

    Args:
        block: the factor by which it upscales.
        channels: features before and after.
        groups: of the convolutions.
        relu: whether a ReLU follows the convolution.
        split_phases: whether to have a convolution per phase with one group too.
    """

    def __init__(self, block: int, channels: int, groups: int, relu: bool, split_phases: bool) -> None:
        super().__init__()
        convs = block**2 if groups > 1 or split_phases else 1
        width = channels * block**2 // convs
        self.phases = nn.ModuleList(nn.Conv2d(channels, width, 3, padding=1, groups=groups) for _ in range(convs))
        self.relu = relu
        self.upscale = DepthToSpace(block)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N×channels×H×W to N×channels×(block·H)×(block·W)."""
        phases = [phase(x) for phase in self.phases]
        pixels = torch.cat(phases, dim=1) if len(phases) > 1 else phases[0]
        upscaled: Tensor = self.upscale(torch.relu(pixels) if self.relu else pixels)
        return upscaled


def upsampler(
    scale: int, channels: int, groups: int = 1, relu: bool = True, split_phases: bool = False
) -> nn.Sequential:
    """Return the upsampler of the EDSR and CARN families: one step for ×2 and ×3, two of ×2 for ×4.

    Args:
        scale: 2, 3 or 4.
        channels: features before and after, N×channels×H×W to N×channels×(scale·H)×(scale·W).
        groups: of the convolutions.
        relu: whether a ReLU follows each convolution.
        split_phases: whether to have a convolution per phase with one group too; see :class:`Upscale`.

    Raises:
        ValueError: for another scale.
    """
    if scale not in (2, 3, 4):
        raise ValueError(f"this upsampler upscales ×2, ×3 and ×4, not ×{scale}")
    blocks = [2, 2] if scale == 4 else [scale]
    return nn.Sequential(*[Upscale(block, channels, groups, relu, split_phases) for block in blocks])


class Cascade(nn.Module):
    """Blocks in a cascade (Ahn et al., ECCV 2018, arXiv 1803.08664).

    Each step runs a block. A 1×1 convolution with ReLU then fuses the input and the outputs of all blocks so far into
    the input of the next block.

    Args:
        blocks: run in turn; if there are fewer than steps, they are used again (CARN-M).
        steps: how often a block is run.
        channels: features of the input and of each block.
    """

    def __init__(self, blocks: Sequence[nn.Module], steps: int, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.fusions = nn.ModuleList(nn.Conv2d((i + 2) * channels, channels, 1) for i in range(steps))

    def forward(self, x: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return features of the same shape as ``x``, N×channels×H×W.

        Args:
            x: the features.
            between: applied to the input of each block but the first (ECDN-M).
        """
        features, fused = [x], x
        for step, (block, fusion) in enumerate(zip(itertools.cycle(self.blocks), self.fusions, strict=False)):
            features.append(block(between(fused) if between and step else fused))
            fused = torch.relu(fusion(torch.cat(features, dim=1)))
        return fused
