"""The published nets once more, with the names that their authors' checkpoints have, and random weights.

They are written from the papers and from lists of the names, and compute in the authors' order of channels: torch's
PixelShuffle, and TensorFlow's depth_to_space.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = (0.4488, 0.4371, 0.4040)


def with_random_statistics(net: nn.Module) -> Any:
    """Give batch norms and biases values that matter, and return the net in eval mode."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def as_initialised(net: nn.Module) -> Any:
    """Give convolutions weights after which the signal does not fade, and return the net."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return net


def shift(sign: int, pixel_range: float = 1) -> nn.Conv2d:
    conv = nn.Conv2d(3, 3, 1)
    conv.weight.data = torch.eye(3)[:, :, None, None]
    conv.bias.data = sign * pixel_range * torch.tensor(MEAN)
    return conv


class Body(nn.Module):
    """Layers under the name ``body``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Unit(Body):
    def __init__(self, groups: int | None) -> None:
        first, second = (nn.Conv2d(64, 64, 3, padding=1, groups=groups or 1) for _ in range(2))
        mixing = [nn.ReLU(), nn.Conv2d(64, 64, 1)] if groups else []
        super().__init__(first, nn.ReLU(), second, *mixing)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + x)


class Steps(nn.Module):
    """A cascade: blocks b1… and fusions c1…; with one block alone, it is used three times."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        for i, block in enumerate(blocks, 1):
            setattr(self, f"b{i}", block)
        for i in (1, 2, 3):
            setattr(self, f"c{i}", Body(nn.Conv2d(64 * (i + 1), 64, 1), nn.ReLU()))

    def cascade(self, x: Tensor, between: Any = None) -> Tensor:
        features = fused = x
        for i in (1, 2, 3):
            block = getattr(self, f"b{i}", None) or self.b1
            features = torch.cat([features, block(between(fused) if between and i > 1 else fused)], dim=1)
            fused = getattr(self, f"c{i}")(features)
        return fused

    def forward(self, x: Tensor) -> Tensor:
        return self.cascade(x)


class Shifter(nn.Module):
    def __init__(self, sign: int) -> None:
        super().__init__()
        self.shifter = shift(sign)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifter(x)


def upsampler(scale: int, groups: int) -> Body:
    blocks = [2, 2] if scale == 4 else [scale]
    layers: list[nn.Module] = []
    for block in blocks:
        layers += [nn.Conv2d(64, 64 * block**2, 3, padding=1, groups=groups), nn.ReLU(), nn.PixelShuffle(block)]
    return Body(*layers)


class Upsamplers(nn.Module):
    def __init__(self, scales: list[int], groups: int, alone: bool) -> None:
        super().__init__()
        for scale in scales:
            setattr(self, "up" if alone else f"up{scale}", upsampler(scale, groups))

    def forward(self, x: Tensor, scale: int) -> Tensor:
        return (getattr(self, f"up{scale}", None) or self.up)(x)


class Cascading(Steps):
    """CARN and ECDN around their blocks; ``alone`` is the layout of a net of one scale."""

    def __init__(self, blocks: list[nn.Module], groups: int, scales: list[int], alone: bool, stepped: bool) -> None:
        super().__init__(*blocks)
        self.sub_mean, self.add_mean = Shifter(-1), Shifter(1)
        self.entry, self.exit = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 3, 3, padding=1)
        self.upsample = Upsamplers(scales, groups, alone)
        if stepped:
            self.c4 = Body(nn.Conv2d(320, 64, 1), nn.ReLU())  # allocated and never used
        self.stepped = stepped

    def forward(self, x: Tensor, scale: int) -> Tensor:
        """Upscale N×3×H×W in 0..1."""

        def step(features: Tensor) -> Tensor:
            return self.upsample(features, scale)[..., ::scale, ::scale]

        features = self.cascade(self.entry(self.sub_mean(x)), step if self.stepped else None)
        return self.add_mean(self.exit(self.upsample(features, scale)))


def carn(mobile: bool, scales: list[int], alone: bool = False) -> Any:
    blocks = [Steps(*[Unit(4 if mobile else None) for _ in range(1 if mobile else 3)]) for _ in range(3)]
    return Cascading(blocks, 4 if mobile else 1, scales, alone, False).eval()


class NormConv(nn.Module):
    def __init__(self, conv: nn.Conv2d, dense: bool) -> None:
        super().__init__()
        self.bn, self.conv, self.dense = nn.BatchNorm2d(conv.in_channels), conv, dense

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(functional.relu(self.bn(x)))
        return torch.cat([x, out], dim=1) if self.dense else out


def ecdn(mobile: bool, scales: list[int]) -> Any:
    def block() -> nn.Module:
        widths = [64 + 16 * i for i in range(5 if mobile else 9)]
        dense = [NormConv(nn.Conv2d(width, 16, 3, padding=1), True) for width in widths[:-1]]
        return nn.Sequential(*dense, NormConv(nn.Conv2d(widths[-1], 64, 1, groups=4 if mobile else 1), False))

    return with_random_statistics(Cascading([block() for _ in range(3)], 4, scales, False, mobile))


class FirstVDSR(nn.Module):
    """VDSR of the first version of its repository: Y in 0..1, upscaled before."""

    def __init__(self, channels: int = 8, depth: int = 5) -> None:
        super().__init__()
        widths = [1, *[channels] * (depth - 1), 1]
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(widths):
            layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.ReLU()]
        self.features = nn.Sequential(*layers[:-1])

    def forward(self, y: Tensor) -> Tensor:
        return y + self.features(y)


class ConvReLU(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


class VDSR(nn.Module):
    """VDSR of the last version of its repository."""

    def __init__(self, channels: int = 8, depth: int = 5) -> None:
        super().__init__()
        self.residual_layer = nn.Sequential(*[ConvReLU(channels) for _ in range(depth - 2)])
        self.input = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.output = nn.Conv2d(channels, 1, 3, padding=1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        return y + self.output(self.residual_layer(functional.relu(self.input(y))))


class EDSR(nn.Module):
    """EDSR for pixels in 0..``pixel_range``: 255 in the authors' files, 1 in those of CAR."""

    def __init__(self, channels: int, blocks: int, scale: int, residual_scale: float, pixel_range: float) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, padding=1)

        self.sub_mean, self.add_mean = shift(-1, pixel_range), shift(1, pixel_range)
        units = [Body(conv(channels, channels), nn.ReLU(), conv(channels, channels)) for _ in range(blocks)]
        ups: list[nn.Module] = []
        for block in [2, 2] if scale == 4 else [scale]:
            ups += [conv(channels, channels * block**2), nn.PixelShuffle(block)]
        self.head = nn.Sequential(conv(3, channels))
        self.body = nn.Sequential(*units, conv(channels, channels))
        self.tail = nn.Sequential(nn.Sequential(*ups), conv(channels, 3))
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        x = features = self.head(self.sub_mean(x))
        for unit in self.body[:-1]:
            features = features + self.residual_scale * unit(features)
        return self.add_mean(self.tail(x + self.body[-1](features)))


class KernelGenerator(nn.Module):
    """CAR's ``kgn``: HR in 0..1 to kernels, horizontal and vertical offsets."""

    def __init__(self, scale: int, entry: int, features: int, head: int, blocks: int) -> None:
        super().__init__()

        def padded(inputs: int, outputs: int, side: int = 3) -> list[nn.Module]:
            return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inputs, outputs, side)]

        def down(inputs: int, outputs: int) -> nn.Module:
            block = nn.Module()
            block.downsample = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * inputs, outputs, 1))
            return block

        def residual() -> nn.Module:
            block = nn.Module()
            block.transform = nn.Sequential(*padded(features, features), nn.LeakyReLU(0.2), *padded(features, features))
            return block

        def trunk() -> nn.Sequential:
            up = nn.Module()
            up.upsample = nn.Sequential(nn.Conv2d(head, head * (8 // scale) ** 2, 1), nn.PixelShuffle(8 // scale))
            up.forward = up.upsample.forward  # type: ignore[method-assign]
            layers = [layer for _ in range(3) for layer in (*padded(head, head), nn.ReLU())]
            return nn.Sequential(*layers, up, *padded(head, head), nn.ReLU())

        def last(*end: nn.Module) -> nn.Sequential:
            return nn.Sequential(*padded(head, head), nn.ReLU(), *padded(head, (3 * scale + 1) ** 2), *end)

        self.sub_mean = shift(-1)
        self.ds_1 = nn.Sequential(*padded(3, entry, 5), nn.LeakyReLU(0.2))
        self.ds_2, self.ds_4, self.ds_8 = down(entry, features), down(features, features), down(features, head)
        self.res_4 = nn.Sequential(*[residual() for _ in range(blocks)])
        self.kernels_trunk, self.kernels_weight = trunk(), last()
        self.offsets_trunk = trunk()
        self.offsets_h_generation, self.offsets_v_generation = last(nn.Tanh()), last(nn.Tanh())

    def forward(self, hr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.ds_4.downsample(self.ds_2.downsample(self.ds_1(self.sub_mean(hr))))
        features = x
        for block in self.res_4:
            features = features + block.transform(features)
        x = self.ds_8.downsample(x + features)
        kernels = self.kernels_weight(self.kernels_trunk(x)).clamp(1e-6, 1)
        trunk = self.offsets_trunk(x)
        kernels = kernels / kernels.sum(1, keepdim=True)
        return kernels, self.offsets_h_generation(trunk), self.offsets_v_generation(trunk)


class KerasABPN:
    """ABPN as TensorFlow computes it: kernels are height×width×input×output, images N×H×W×3 in 0..255."""

    def __init__(self, scale: int, channels: int = 28, depth: int = 4) -> None:
        image = 3 * scale**2
        widths = [3, *[channels] * (depth + 1), image, image]
        self.scale = scale
        self.layers = [(0.2 * torch.randn(3, 3, i, o) / i**0.5, torch.randn(o)) for i, o in itertools.pairwise(widths)]

    def named(self, first: int = 0) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Return each layer as Keras names it: ``conv2d``, ``conv2d_1``… from a number on."""
        for number, (kernel, bias) in enumerate(self.layers, first):
            yield f"conv2d_{number}" if number else "conv2d", kernel, bias

    def __call__(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2)
        for number, (kernel, bias) in enumerate(self.layers, 1):
            x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1)
            x = functional.relu(x) if number < len(self.layers) else x
        x = x.permute(0, 2, 3, 1) + torch.cat([image] * self.scale**2, dim=3)
        n, h, w, _ = x.shape
        s = self.scale
        blocks = x.reshape(n, h, w, s, s, 3).permute(0, 1, 3, 2, 4, 5)
        return blocks.reshape(n, h * s, w * s, 3).clamp(0, 255)


def as_mindspore(state: dict[str, Tensor], slices: int = 1) -> bytes:
    """Return a checkpoint of MindSpore: a message for each tensor, or for each of the slices of a large one."""

    def varint(number: int) -> bytes:
        return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    written = b""
    for name, tensor in state.items():
        dims = b"".join(varint(1 << 3) + varint(length) for length in tensor.shape)
        for part in np.array_split(tensor.numpy().reshape(-1), slices):
            written += field(
                1, field(1, name.encode()) + field(2, dims + field(2, b"Float32") + field(3, part.tobytes()))
            )
    return written
