"""The importance of each weight for the image, on a few training images.

A net of ReLUs stays the same if a channel is multiplied by a factor and the weights that read it are divided by it, but
the norms of its weights change. In a net that was trained for long these norms say little: of ABPN ×3 in
``pipeline_src/pretrained/`` the L1 pruner removed the quarter of the filters that carry the image, the ReLUs behind
them died, and no training revived them. Importance does not depend on such factors.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pipeline_src.compression.pruning.channels import Channels, ConvChannels

SMALLEST_DEVIATION = 1e-6  # of a filter's output, where it is constant


def weight_importance(net: Any, channels: Channels, images: Mapping[int, Sequence[np.ndarray]]) -> dict[str, Tensor]:
    """Return the importance of the weights of every convolution.

    A weight is multiplied by the root mean square of its input and divided by the standard deviation of its filter's
    output. Each filter is then multiplied by its share in the convolutions that read it, so the norm of a row is the
    importance of the filter. After Wanda (Sun et al., ICLR 2024, arXiv 2306.11695), which multiplies by the norm of the
    input only.

    Args:
        net: A net of ``pipeline_src.models``.
        channels: Its channels, from :func:`channels.read`.
        images: LR images of each scale, uint8 H×W×3.

    Returns:
        Tensors of the shape of the weights, by the names of the weights in the net's state.
    """
    state = net.state_dict()
    statistics = _record_statistics(net, channels, images)
    shares: dict[int, float] = defaultdict(float)  # of each channel in all convolutions that read it
    importance = {}
    for name, conv in channels.convolutions.items():
        importance[name] = _relative_weights(state[name], conv, *statistics.means(name))
        weights = importance[name]
        by_input = weights.square().sum((2, 3)).view(conv.groups, -1, weights.shape[1]).sum(1)
        for channel, share in zip(conv.inputs.tolist(), by_input.flatten().tolist(), strict=True):
            shares[channel] += share
    for name, weights in importance.items():
        factors = [shares[channel] ** 0.5 for channel in channels.convolutions[name].outputs.tolist()]
        weights *= weights.new_tensor(factors)[:, None, None, None]
    return importance


def _relative_weights(weights: Tensor, conv: ConvChannels, power: Tensor, variance: Tensor) -> Tensor:
    """Return weights relative to their inputs, of mean square ``power``, and to their outputs' ``variance``."""
    inputs = power.sqrt().view(conv.groups, -1).repeat_interleave(len(weights) // conv.groups, dim=0)
    deviation = variance.sqrt().clamp(min=SMALLEST_DEVIATION)
    return weights * inputs[:, :, None, None] / deviation[:, None, None, None]


class _Statistics(TorchFunctionMode):
    """Records, for every call of the named convolutions, the mean square of inputs and the variance of outputs."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names = names  # by the id of the weights
        self.power: dict[str, list[Tensor]] = defaultdict(list)
        self.variance: dict[str, list[Tensor]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d and id(args[1]) in self.names:
            name = self.names[id(args[1])]
            self.power[name].append(args[0].square().mean((0, 2, 3)))
            self.variance[name].append(result.var((0, 2, 3)))
        return result

    def means(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the means over all calls: mean squares of I inputs, variances of O outputs."""
        return torch.stack(self.power[name]).mean(0), torch.stack(self.variance[name]).mean(0)


def _record_statistics(net: Any, channels: Channels, images: Mapping[int, Sequence[np.ndarray]]) -> _Statistics:
    statistics = _Statistics({id(net.get_parameter(name)): name for name in channels.convolutions})
    like = next(net.parameters())
    with torch.no_grad(), statistics:
        for scale in net.description.scales:
            at_scale = net.at_scale(scale).eval()
            for image in images[scale]:
                at_scale(torch.tensor(image).permute(2, 0, 1)[None].to(like))
    return statistics
