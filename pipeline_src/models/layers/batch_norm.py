"""Batch norm of nets of several scales, and its conversion to a convolution."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.models.layers import ByScale


class ScaleBatchNorm(nn.Module):
    """Batch norm with one weight and bias for all scales and statistics for each scale.

    The features before it may differ with the scale, as in ECDN-M. Mean and variance over all scales would then fit no
    scale, and evaluation would be wrong at each.

    Args:
        channels: of the features.
        scales: of the net.
    """

    MOMENTUM, EPS = 0.1, 1e-5

    def __init__(self, channels: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.statistics: Any = ByScale({scale: Statistics(channels) for scale in scales})

    def forward(self, x: Tensor) -> Tensor:
        """Normalise N×channels×H×W; only in the part of a net that one scale needs."""
        mean, var = self.statistics.mean, self.statistics.var
        return functional.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.MOMENTUM, self.EPS)

    def reset(self) -> None:
        """Reset weight, bias and all statistics to their initial values."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        for statistics in self.statistics.values():
            statistics.mean.zero_()
            statistics.var.fill_(1)

    def folded(self) -> nn.Conv2d:
        """Return the depthwise 1×1 convolution that it is in eval mode; only in the part that one scale needs."""
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
    """Return a net of one scale with each batch norm replaced by the 1×1 convolution that it is in eval mode.

    No other convolution can take it in, because these nets normalise, then rectify, then convolve. The other parameters
    are those of ``net`` itself and not copies.
    """
    if isinstance(net, ScaleBatchNorm):
        return net.folded()
    folded = copy.copy(net)
    folded._modules = {name: child and fold_batch_norm(child) for name, child in net._modules.items()}
    return folded


@torch.no_grad()
def keep_features(net: nn.Module, part: nn.Module, images: Tensor) -> None:
    """Set each batch norm so that it leaves the features of some images as they are.

    Args:
        net: of several scales; changed in place, its statistics at all scales.
        part: the part of ``net`` that one scale needs.
        images: N×3×H×W RGB in 0..255.
    """

    def set_norm(norm: ScaleBatchNorm, features: Tensor) -> None:
        mean, var = features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0)
        norm.weight.copy_((var + norm.EPS).sqrt())
        norm.bias.copy_(mean)
        for statistics in norm.statistics.values():
            statistics.mean.copy_(mean)
            statistics.var.copy_(var)

    norms = [module for module in net.modules() if isinstance(module, ScaleBatchNorm)]
    hooks = [norm.register_forward_pre_hook(lambda _, inputs, norm=norm: set_norm(norm, inputs[0])) for norm in norms]
    part.eval()(images)
    for hook in hooks:
        hook.remove()
