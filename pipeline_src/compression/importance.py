"""What each weight brings to the image, which is how a pruner of filters or weights should see it.

A net of ReLUs stays the same where a channel is multiplied and what reads it divided, but the norms of its weights do
not. In a net that was trained for long they say little: of ABPN ×3 in ``pretrained/`` the L1 pruner took the quarter of
the filters that carry the image, the ReLUs behind them died, and no training brought them back.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pipeline_src.compression.channels import Channels

LEAST = 1e-6  # deviation of what a filter gives, where it is always the same


def weight_importance(net: Any, channels: Channels, images: Mapping[int, Sequence[np.ndarray]]) -> dict[str, Tensor]:
    """The weights of every convolution of ``channels.read(net)``, by their names in the net's state, made comparable.

    Each is multiplied by the root mean square of what it reads and divided by the deviation of what its filter gives,
    over LR ``images`` of each scale, uint8 H×W×3; and a filter is multiplied by what it thus brings to those that read
    it. The norm of a row is then the worth of the filter, the same whatever scales its channels have. (After Wanda, Sun
    et al., ICLR 2024, arXiv 2306.11695, which takes the norm of the input, and before the sum over its readers.)
    """
    state = net.state_dict()
    seen = _Seen({id(net.get_parameter(name)): name for name in channels.convolutions})
    like = next(net.parameters())
    with torch.no_grad(), seen:
        for scale in net.description.scales:
            at_scale = net.at_scale(scale).eval()
            for image in images[scale]:
                at_scale(torch.tensor(image).permute(2, 0, 1)[None].to(like))
    brought: dict[int, float] = defaultdict(float)
    relative = {}
    for name, weights in channels.convolutions.items():
        its = state[name]
        power, variance = (torch.stack(calls).mean(0) for calls in (seen.power[name], seen.variance[name]))
        reads = power.sqrt().view(weights.groups, -1).repeat_interleave(len(its) // weights.groups, dim=0)
        relative[name] = its * reads[:, :, None, None] / variance.sqrt().clamp(min=LEAST)[:, None, None, None]
        by_group = relative[name].square().sum((2, 3)).view(weights.groups, -1, its.shape[1]).sum(1)
        for channel, share in zip(weights.reads.tolist(), by_group.flatten().tolist(), strict=True):
            brought[channel] += share
    for name, rows in relative.items():
        worth = [brought[channel] ** 0.5 for channel in channels.convolutions[name].filters.tolist()]
        rows *= rows.new_tensor(worth)[:, None, None, None]
    return relative


class _Seen(TorchFunctionMode):
    """Of every use of the convolutions in ``names``: the mean square of each input, the variance of each output."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names = names
        self.power: dict[str, list[Tensor]] = defaultdict(list)
        self.variance: dict[str, list[Tensor]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d and id(args[1]) in self.names:
            name = self.names[id(args[1])]
            self.power[name].append(args[0].square().mean((0, 2, 3)))
            self.variance[name].append(result.var((0, 2, 3)))
        return result
