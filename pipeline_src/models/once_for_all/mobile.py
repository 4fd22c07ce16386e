"""The mobile space: inverted residuals with elastic depth, width and kernel."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description
from pipeline_src.models.layers import ClampPixels, DepthToSpace, in_full_precision, one_scale
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet, channel_importance, importance_order


class MobileBlock(nn.Module):
    """1×1 to ``expand`` times the channels, k×k of each channel by itself, 1×1 back, and a skip (MobileNetV2's block).

    ReLU and not ReLU6, which is of use only behind a batch norm. The last convolution starts at zero, so that the
    block starts as none.
    """

    def __init__(self, channels: int, kernel: int, expand: int) -> None:
        super().__init__()
        inner = expand * channels
        self.expand = nn.Conv2d(channels, inner, 1)
        self.depthwise = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, channels, 1)
        for conv in (self.expand, self.depthwise):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(functional.relu(self.depthwise(functional.relu(self.expand(x)))))


class MobileNet(nn.Module):
    """Blocks at the size of the LR image, then a pixel shuffle ×2, or two for ×4; float NCHW RGB in 0..255.

    The net computes the difference to the nearest-neighbour upscaling of its input. All but the blocks is small, so
    that subnets of fewer and smaller blocks save time: only ``hr_channels`` features are left where the image is large.

    Args:
        scale: 2 or 4.
        channels: features at the size of the LR image.
        hr_channels: features after each pixel shuffle.
        stages: the kernel and the expansion of each block of each stage.
    """

    def __init__(
        self, scale: int, channels: int, hr_channels: int, stages: Sequence[Sequence[tuple[int, int]]]
    ) -> None:
        super().__init__()
        self.description = Description(scales=(scale,))
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(MobileBlock(channels, kernel, expand) for kernel, expand in stage) for stage in stages
        )
        widths = [channels] + [hr_channels] * (scale // 2)
        self.ups = nn.ModuleList(nn.Conv2d(width, 4 * hr_channels, 3, padding=1) for width in widths[:-1])
        self.shuffle = DepthToSpace(2)
        self.tail = nn.Conv2d(hr_channels, 3, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.clamp = ClampPixels()

    def forward(self, x: Tensor) -> Tensor:
        head = features = self.head(x)
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                features = block(features)
        features = head + features
        for up in self.ups:
            features = self.shuffle(functional.relu(up(features)))
        anchor = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        return self.clamp(in_full_precision(self.tail, features) + anchor)

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself; ValueError for another scale."""
        return one_scale(self, scale)


class Mobile(Supernet):
    """MobileNetV3's space of Once-for-All, for super-resolution and without batch norm.

    Each of four stages has ``depth1`` … blocks, each block a kernel and an expansion (``width``). A smaller kernel is
    the centre of the larger one times a learned matrix, 706 parameters a block. ×2 and ×4 share everything: the scale
    is how many pixel shuffles there are.
    """

    STAGES = 4

    def __init__(
        self,
        scales: list[int],
        widths: Sequence[int],
        depths: Sequence[int],
        kernels: Sequence[int],
        channels: int,
        hr_channels: int,
    ) -> None:
        super().__init__()
        self.description = Description(tuple(scales))
        self.channels, self.hr_channels = channels, hr_channels
        layers = [f"{stage + 1}_{layer + 1}" for stage in range(self.STAGES) for layer in range(max(depths))]
        self.genes = {"scale": tuple(sorted(scales))}
        self.genes |= {f"depth{stage + 1}": tuple(sorted(depths)) for stage in range(self.STAGES)}
        self.genes |= {f"kernel{layer}": tuple(sorted(kernels)) for layer in layers}
        self.genes |= {f"width{layer}": tuple(sorted(widths)) for layer in layers}
        stages = [[(max(kernels), max(widths))] * max(depths)] * self.STAGES
        self.net = MobileNet(max(scales), channels, hr_channels, stages)
        self.transforms = nn.ModuleDict({layer: nn.ParameterDict(_transforms(kernels)) for layer in layers})

    def _layers(self, subnet: Subnet) -> Iterator[tuple[int, int, str]]:
        for stage in range(self.STAGES):
            for layer in range(subnet[f"depth{stage + 1}"]):
                yield stage, layer, f"{stage + 1}_{layer + 1}"

    def kept_genes(self, subnet: Subnet) -> set[str]:
        layers = {f"{gene}{name}" for _, _, name in self._layers(subnet) for gene in ("kernel", "width")}
        return layers | {"scale"} | {f"depth{stage + 1}" for stage in range(self.STAGES)}

    def count_subnets(self, scale: int) -> int:
        choices_of_block = len(self.genes["kernel1_1"]) * len(self.genes["width1_1"])
        return int(sum(choices_of_block**depth for depth in self.genes["depth1"]) ** self.STAGES)

    def build_subnet(self, subnet: Subnet) -> nn.Module:
        stages: list[list[tuple[int, int]]] = [[] for _ in range(self.STAGES)]
        for stage, _, name in self._layers(subnet):
            stages[stage].append((subnet[f"kernel{name}"], subnet[f"width{name}"]))
        return MobileNet(subnet["scale"], self.channels, self.hr_channels, stages)

    def subnet_weights(self, subnet: Subnet) -> dict[str, Tensor]:
        net: Any = self.net
        weights = {f"head.{key}": value for key, value in net.head.named_parameters()}
        for stage, layer, name in self._layers(subnet):
            block, inner = net.stages[stage][layer], subnet[f"width{name}"] * self.channels
            kernel = _shrink_kernel(block.depthwise.weight[:inner], subnet[f"kernel{name}"], self.transforms[name])
            weights |= {
                f"stages.{stage}.{layer}.{key}": value
                for key, value in {
                    "expand.weight": block.expand.weight[:inner],
                    "expand.bias": block.expand.bias[:inner],
                    "depthwise.weight": kernel,
                    "depthwise.bias": block.depthwise.bias[:inner],
                    "project.weight": block.project.weight[:, :inner],
                    "project.bias": block.project.bias,
                }.items()
            }
        for i in range(subnet["scale"] // 2):
            weights |= {f"ups.{i}.{key}": value for key, value in net.ups[i].named_parameters()}
        return weights | {f"tail.{key}": value for key, value in net.tail.named_parameters()}

    def blocks(self, subnet: Subnet) -> list[Block]:
        mobile = [
            self._mobile_block(subnet[f"kernel{name}"], subnet[f"width{name}"]) for _, _, name in self._layers(subnet)
        ]
        return [self._head_block(), *mobile, self._tail_block(subnet["scale"])]

    def all_blocks(self) -> list[Block]:
        kernels, widths = self.genes["kernel1_1"], self.genes["width1_1"]
        mobile = [self._mobile_block(kernel, width) for kernel in kernels for width in widths]
        tails = [self._tail_block(scale) for scale in self.genes["scale"]]
        return [self._head_block(), *mobile, *tails]

    def _head_block(self) -> Block:
        return Block("entry", 3, self.channels)

    def _mobile_block(self, kernel: int, expand: int) -> Block:
        return Block("mobile", self.channels, self.channels, kernel=kernel, expand=expand)

    def _tail_block(self, scale: int) -> Block:
        return Block("tail", self.channels, self.hr_channels, scale=scale)

    @torch.no_grad()
    def sort_channels(self, first: int) -> None:
        stages: Any = self.net.stages
        for stage in stages:
            for block in stage:
                order = importance_order(channel_importance([block.project]), first * self.channels)
                for layer in (block.expand, block.depthwise):
                    layer.weight.copy_(layer.weight[order])
                    layer.bias.copy_(layer.bias[order])
                block.project.weight.copy_(block.project.weight[:, order])


def _transforms(kernels: Sequence[int]) -> dict[str, nn.Parameter]:
    """Return the matrices that make each kernel but the largest from the next larger one; the identity at first."""
    return {str(kernel): nn.Parameter(torch.eye(kernel**2)) for kernel in sorted(kernels)[:-1]}


def _shrink_kernel(weight: Tensor, side: int, transforms: Any) -> Tensor:
    """Return depthwise kernels of a smaller ``side``: at each step the centre times the matrix of the next side."""
    for smaller in sorted((int(key) for key in transforms), reverse=True):
        if smaller < side:
            break
        margin = (weight.shape[-1] - smaller) // 2
        centre = weight[..., margin : margin + smaller, margin : margin + smaller]
        weight = (centre.flatten(1) @ transforms[str(smaller)].T).reshape(-1, 1, smaller, smaller)
    return weight
