"""The mobile space: inverted residuals with elastic depth, width and kernel."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models import Description, SuperResolutionNet
from pipeline_src.models.layers import ClampPixels, in_full_precision, one_scale
from pipeline_src.models.layers.operators import DepthToSpace
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.models.once_for_all.supernet import Subnet, Supernet, channel_importance, importance_order


class MobileBlock(nn.Module):
    """The inverted residual of MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381) without batch norm.

    A 1×1 convolution to ``expand`` times the channels, a depthwise convolution, a 1×1 convolution back, and a skip. The
    activations are ReLU, because ReLU6 is useful only after a batch norm. The last convolution starts at zero, so that
    an untrained block is the identity.

    Args:
        channels: features of the input and of the output.
        kernel: side of the depthwise convolution.
        expand: inner channels as a multiple of ``channels``.
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
        """Return features of the same shape as ``x``, N×channels×H×W."""
        features: Tensor = x + self.project(functional.relu(self.depthwise(functional.relu(self.expand(x)))))
        return features


class MobileNet(nn.Module):
    """Mobile blocks at the size of the LR image, then one pixel shuffle for ×2 or two for ×4.

    The net computes the difference to the nearest-neighbour upscaling of its input. Everything but the blocks is small,
    so that fewer and smaller blocks save time: where the image is large there are only ``hr_channels`` features.

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
        """Upscale N×3×H×W RGB in 0..255 to N×3×(scale·H)×(scale·W); clamped to 0..255 in eval mode alone."""
        head = features = self.head(x)
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                features = block(features)
        features = head + features
        for up in self.ups:
            features = self.shuffle(functional.relu(up(features)))
        anchor = functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        sr: Tensor = self.clamp(in_full_precision(self.tail, features) + anchor)
        return sr

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself.

        Raises:
            ValueError: for another scale.
        """
        return one_scale(self, scale)


class Mobile(Supernet):
    """The MobileNetV3 space of Once-for-All, for super-resolution and without batch norm.

    There are four stages. The genes ``depth1`` … ``depth4`` are their numbers of blocks; each block has a gene for its
    kernel and one for its expansion (``width``). A smaller kernel is the centre of the next larger one times a learned
    matrix, with kernels of 3, 5 and 7 706 parameters per block. ×2 and ×4 share all weights and differ in the number of
    pixel shuffles.

    Args:
        scales: the factors by which the net upscales, 2 and 4.
        widths: choices of the expansion of a block.
        depths: choices of the number of blocks of a stage.
        kernels: choices of the side of a depthwise convolution.
        channels: features at the size of the LR image.
        hr_channels: features after each pixel shuffle.
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
        """Yield stage, index in the stage and name of each block of a subnet."""
        for stage in range(self.STAGES):
            for layer in range(subnet[f"depth{stage + 1}"]):
                yield stage, layer, f"{stage + 1}_{layer + 1}"

    def kept_genes(self, subnet: Subnet) -> set[str]:
        """Return the genes of the blocks that the subnet's depths keep."""
        layers = {f"{gene}{name}" for _, _, name in self._layers(subnet) for gene in ("kernel", "width")}
        return layers | {"scale"} | {f"depth{stage + 1}" for stage in range(self.STAGES)}

    def count_subnets(self, scale: int) -> int:
        """Return the number of different subnets of a scale."""
        choices_of_block = len(self.genes["kernel1_1"]) * len(self.genes["width1_1"])
        return int(sum(choices_of_block**depth for depth in self.genes["depth1"]) ** self.STAGES)

    def build_subnet(self, subnet: Subnet) -> SuperResolutionNet:
        """Return the subnet as an untrained net with parameters of its own."""
        stages: list[list[tuple[int, int]]] = [[] for _ in range(self.STAGES)]
        for stage, _, name in self._layers(subnet):
            stages[stage].append((subnet[f"kernel{name}"], subnet[f"width{name}"]))
        return MobileNet(subnet["scale"], self.channels, self.hr_channels, stages)

    def subnet_weights(self, subnet: Subnet) -> dict[str, Tensor]:
        """Return the ``state_dict`` of the subnet's net: slices of the supernet's parameters, and smaller kernels."""
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
        """Return the blocks of a subnet in the order they run."""
        mobile = [
            self._mobile_block(subnet[f"kernel{name}"], subnet[f"width{name}"]) for _, _, name in self._layers(subnet)
        ]
        return [self._head_block(), *mobile, self._tail_block(subnet["scale"])]

    def all_blocks(self) -> list[Block]:
        """Return every block that any subnet of the space has."""
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
        """Sort the first inner channels of every block by importance; see :meth:`Supernet.sort_channels`."""
        stages: Any = self.net.stages
        for stage in stages:
            for block in stage:
                order = importance_order(channel_importance([block.project]), first * self.channels)
                for layer in (block.expand, block.depthwise):
                    layer.weight.copy_(layer.weight[order])
                    layer.bias.copy_(layer.bias[order])
                block.project.weight.copy_(block.project.weight[:, order])


def _transforms(kernels: Sequence[int]) -> dict[str, nn.Parameter]:
    """Return the matrices, identities at first, that turn the centre of a kernel into the next smaller kernel."""
    return {str(kernel): nn.Parameter(torch.eye(kernel**2)) for kernel in sorted(kernels)[:-1]}


def _shrink_kernel(weight: Tensor, side: int, transforms: Any) -> Tensor:
    """Return depthwise kernels of a smaller ``side``, made step by step from the largest."""
    for smaller in sorted((int(key) for key in transforms), reverse=True):
        if smaller < side:
            break
        margin = (weight.shape[-1] - smaller) // 2
        centre = weight[..., margin : margin + smaller, margin : margin + smaller]
        weight = (centre.flatten(1) @ transforms[str(smaller)].T).reshape(-1, 1, smaller, smaller)
    return weight
