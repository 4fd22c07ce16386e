"""Layers that several nets share.

All take and give float NCHW.
"""

import copy
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # of R, G and B, in 0..1
Y_OF_RGB = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # ITU-R BT.601, studio range: 16 + this · RGB, both in 0..255
NHWC = torch.channels_last
Y_RANGE = 219 / 255  # Y's share of the range of R, G and B

# Operators of our own, so that an exporter can put the DEPTH_TO_SPACE or the MIRROR_PAD of its runtime in the place of
# this one node instead of the reshapes, slices and transposes that a composite of torch operators becomes.


@torch.library.custom_op("super_resolution::depth_to_space", mutates_args=())
def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Rearrange N×(block²·C)×H×W to N×C×(block·H)×(block·W); channel = phase·C + c (ONNX DCR, TensorFlow's order)."""
    n, c, h, w = x.shape
    colours = c // block**2
    # Worked on and given back in NHWC order, as the convolutions around it are: one copy of whole runs of colours.
    blocks = x.permute(0, 2, 3, 1).reshape(n, h, w, block, block, colours).transpose(2, 3)
    return blocks.reshape(n, h * block, w * block, colours).permute(0, 3, 1, 2).contiguous(memory_format=NHWC)


@depth_to_space.register_fake
def _(x: Tensor, block: int) -> Tensor:
    n, c, h, w = x.shape
    return _empty(x, n, c // block**2, h * block, w * block)


def space_to_depth(y: Tensor, block: int) -> Tensor:
    """The inverse of :func:`depth_to_space`."""
    n, c, h, w = y.shape
    blocks = y.permute(0, 2, 3, 1).reshape(n, h // block, block, w // block, block, c).transpose(2, 3)
    return blocks.reshape(n, h // block, w // block, c * block**2).permute(0, 3, 1, 2)


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=NHWC)


depth_to_space.register_autograd(
    lambda ctx, grad: (space_to_depth(grad, ctx.block), None),
    setup_context=lambda ctx, inputs, output: setattr(ctx, "block", inputs[1]),
)


class DepthToSpace(nn.Module):
    """:func:`depth_to_space` as a layer."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(x, self.block)


@torch.library.custom_op("super_resolution::mirror_pad", mutates_args=())
def mirror_pad(x: Tensor, pad: int) -> Tensor:
    """N×C×H×W with ``pad`` rows and columns mirrored on to each side, the border pixel repeated (MATLAB's convention).

    N×C×(H+2·pad)×(W+2·pad); TFLite's MIRROR_PAD in its mode SYMMETRIC. An image smaller than ``pad`` is mirrored again.
    """
    rows = x.index_select(2, _mirrored(x.shape[2], pad, x.device))
    return rows.index_select(3, _mirrored(x.shape[3], pad, x.device)).contiguous(memory_format=NHWC)


@mirror_pad.register_fake
def _(x: Tensor, pad: int) -> Tensor:
    n, c, h, w = x.shape
    return _empty(x, n, c, h + 2 * pad, w + 2 * pad)


def _mirrored(length: int, pad: int, device: torch.device) -> Tensor:
    pixels = torch.arange(-pad, length + pad, device=device) % (2 * length)
    return torch.minimum(pixels, 2 * length - 1 - pixels)


def _mirror_pad_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    n, c, h, w = ctx.shape
    rows = grad.new_zeros(n, c, h, grad.shape[3]).index_add(2, _mirrored(h, ctx.pad, grad.device), grad)
    return rows.new_zeros(n, c, h, w).index_add(3, _mirrored(w, ctx.pad, grad.device), rows), None


def _mirror_pad_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.shape, ctx.pad = inputs[0].shape, inputs[1]


mirror_pad.register_autograd(_mirror_pad_backward, setup_context=_mirror_pad_context)


class ByScale(nn.ModuleDict):
    """What a net of several scales has once for each: a module for every scale, of which a step uses one."""

    def __init__(self, modules: dict[int, nn.Module]) -> None:
        super().__init__({str(scale): module for scale, module in modules.items()})


def one_scale(net: Any, scale: int) -> nn.Module:
    """The part of ``net`` that upscales by ``scale``: each :class:`ByScale` in it gives way to its module of the scale.

    Its parameters and buffers are those of ``net`` itself, not copies; whether it is in train or eval mode is its own,
    and at first that of ``net``. Raises ValueError if the net's ``description`` does not list the scale.
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
    part = copy.copy(module)  # a module of its own, with the same parameters and buffers
    part._modules = {name: child and _one_scale(child, scale) for name, child in module._modules.items()}
    return part


def in_full_precision(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer(x)``, float32 in mixed precision too: bfloat16 cannot tell 200 from 200.5, and a pixel needs that."""
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return layer(x.float())
    return layer(x)


class FullPrecision(nn.Sequential):
    """Layers of :func:`in_full_precision`."""

    def forward(self, x: Tensor) -> Tensor:
        return in_full_precision(super().forward, x)


class ClampPixels(nn.Module):
    """An image within 0..255, in eval mode alone: a clamped pixel has no gradient, and what saturated would stay so."""

    def forward(self, x: Tensor) -> Tensor:
        return x if self.training else torch.clamp(x, 0, 255)


def subtract_mean() -> nn.Conv2d:
    """RGB 0..255 to RGB 0..1 less the mean of DIV2K: the frozen 1×1 convolution of the EDSR and CARN families."""
    return _frozen_shift(1 / 255, [-mean for mean in DIV2K_MEAN])


def add_mean() -> nn.Conv2d:
    """The inverse of :func:`subtract_mean`."""
    return _frozen_shift(255, [255 * mean for mean in DIV2K_MEAN])


def _frozen_shift(factor: float, shift: list[float]) -> nn.Conv2d:
    conv = nn.Conv2d(3, 3, 1)
    conv.weight.data = factor * torch.eye(3)[:, :, None, None]
    conv.bias.data = torch.tensor(shift)  # type: ignore[union-attr]
    return conv.requires_grad_(False)


class FixedConv(nn.Module):
    """A convolution whose weights are part of the method: never trained, not counted and not stored as parameters."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias)


class BicubicUpscale(nn.Module):
    """MATLAB's ``imresize(image, scale, 'bicubic')`` of a double image: Keys' kernel (a = −0.5), mirrored borders.

    Any float N×channels×H×W to N×channels×(scale·H)×(scale·W), not rounded and not clipped. The scale² output pixels of
    an input pixel all lie within the reach of the same 5×5 inputs, so that one convolution makes them.
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
        return self.upscale(self.pixels(mirror_pad(x, 2)))


def _cubic_kernels(scale: int) -> Tensor:
    """scale×5, float64: what each of the ``scale`` output pixels of an input pixel takes of it and its neighbours."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    centres = [(phase + 0.5) / scale - 0.5 for phase in range(scale)]
    return torch.tensor([[cubic(centre - tap) for tap in range(-2, 3)] for centre in centres], dtype=torch.float64)


class Cascade(nn.Module):
    """CARN's cascade: after each block, a 1×1 convolution and ReLU of everything so far give what the next one takes.

    There are ``steps`` of them, which take the blocks in turn: a single block is used again and again (CARN-M). What a
    feature goes through on its way to the next block alone is ``between`` (ECDN-M).
    """

    def __init__(self, blocks: Sequence[nn.Module], steps: int, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.fusions = nn.ModuleList(nn.Conv2d((i + 2) * channels, channels, 1) for i in range(steps))

    def forward(self, x: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        everything, out = [x], x
        for step, (block, fusion) in enumerate(zip(itertools.cycle(self.blocks), self.fusions, strict=False)):
            everything.append(block(between(out) if between and step else out))
            out = torch.relu(fusion(torch.cat(everything, dim=1)))
        return out


class Upscale(nn.Module):
    """Upscaling by a learned 3×3 convolution, ReLU if so, and depth-to-space.

    A grouped convolution is one for each of the block² output pixels of an input pixel, so that each sees all groups:
    the published topology without a channel shuffle. ``apart`` does so with one group too.
    """

    def __init__(self, block: int, channels: int, groups: int, relu: bool, apart: bool) -> None:
        super().__init__()
        convs = block**2 if groups > 1 or apart else 1
        width = channels * block**2 // convs
        self.phases = nn.ModuleList(nn.Conv2d(channels, width, 3, padding=1, groups=groups) for _ in range(convs))
        self.relu = relu
        self.upscale = DepthToSpace(block)

    def forward(self, x: Tensor) -> Tensor:
        phases = [phase(x) for phase in self.phases]
        pixels = torch.cat(phases, dim=1) if len(phases) > 1 else phases[0]
        return self.upscale(torch.relu(pixels) if self.relu else pixels)


def upsampler(scale: int, channels: int, groups: int = 1, relu: bool = True, apart: bool = False) -> nn.Sequential:
    """N×channels×H×W to N×channels×(scale·H)×(scale·W): one step for ×2 and ×3, two of ×2 for ×4."""
    if scale not in (2, 3, 4):
        raise ValueError(f"this upsampler upscales ×2, ×3 and ×4, not ×{scale}")
    blocks = [2, 2] if scale == 4 else [scale]
    return nn.Sequential(*[Upscale(block, channels, groups, relu, apart) for block in blocks])


class ScaleBatchNorm(nn.Module):
    """Batch norm of a net of several scales: one weight and bias for all, statistics of each scale's own.

    What comes before may differ with the scale (in ECDN-M it does); mean and variance over all scales are then those of
    none, and evaluation goes wrong at every one.
    """

    MOMENTUM, EPS = 0.1, 1e-5

    def __init__(self, channels: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.statistics: Any = ByScale({scale: Statistics(channels) for scale in scales})

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.statistics.mean, self.statistics.var
        return functional.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.MOMENTUM, self.EPS)

    def reset(self) -> None:
        """Forget all that was learnt and seen."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        for of_scale in self.statistics.values():
            of_scale.mean.zero_()
            of_scale.var.fill_(1)

    def folded(self) -> nn.Conv2d:
        """What it does in eval mode, as a 1×1 convolution of each channel by itself. Only of a net of one scale."""
        factor = self.weight.detach() / (self.statistics.var + self.EPS).sqrt()
        conv = nn.Conv2d(len(factor), len(factor), 1, groups=len(factor), device=factor.device)
        conv.weight.data = factor[:, None, None, None].clone()
        conv.bias.data = self.bias.detach() - factor * self.statistics.mean  # type: ignore[union-attr]
        return conv


class Statistics(nn.Module):
    """Running mean and variance of a batch norm."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """``net``, of one scale, with each batch norm as the 1×1 convolution it is in eval mode.

    These nets normalise, then rectify, then convolve, so that no other convolution can take it in. The other parameters
    are those of ``net`` itself.
    """
    if isinstance(net, ScaleBatchNorm):
        return net.folded()
    folded = copy.copy(net)
    folded._modules = {name: child and fold_batch_norm(child) for name, child in net._modules.items()}
    return folded
