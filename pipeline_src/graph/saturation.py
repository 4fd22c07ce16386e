"""Bounds within which int8 sums cannot saturate on any CPU.

x86 CPUs without VNNI add two neighbouring products in 16 bits (VPMADDUBSW). Two weights of one sign that add up to no
more than ``LARGEST_PAIR`` cannot saturate there, whatever the activations are.
"""

from typing import TYPE_CHECKING

from pipeline_src.graph.operations import Convolution, OperationGraph

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_WEIGHT = 127
LARGEST_SUM = 32767
LARGEST_PAIR = LARGEST_SUM // 255  # 128


def largest_pair(weights: "Tensor") -> "Tensor":
    """Return the largest sum of two weights of one sign, for each output channel.

    Any two, because which of them a CPU adds up depends on how a runtime lays them out.

    Args:
        weights: O×…, a channel's weights in any order; of any number type and unit.

    Returns:
        O sums without sign, float, in the unit of the weights; of a channel with a single weight, that weight.
    """
    rows = weights.flatten(1)
    rows = rows if rows.is_floating_point() else rows.float()
    two = min(2, rows.shape[1])
    positive, negative = (side.clamp(min=0).topk(two, dim=1).values.sum(1) for side in (rows, -rows))
    return positive.maximum(negative)


def fits(rounded: "Tensor") -> "Tensor":
    """Return which channels of int8 weights are in −127..127 and have no pair that can saturate.

    Args:
        rounded: O×…, weights in whole steps.

    Returns:
        O values, bool.
    """
    return (largest_pair(rounded) <= LARGEST_PAIR) & (rounded.flatten(1).abs().amax(1) <= LARGEST_WEIGHT)


def largest_sum(net: OperationGraph) -> int:
    """Return the largest sum of two neighbouring products, uint8 × int8, in any int8 convolution of a net.

    Up to ``LARGEST_SUM`` the net computes the same on every CPU; beyond it, one without VNNI may saturate. A net in
    float has 0.
    """
    import torch

    int8_weights = [
        operation.weights.values
        for operation in net.operations
        if isinstance(operation, Convolution) and operation.weights.scales is not None
    ]
    return max((255 * int(largest_pair(torch.from_numpy(values)).max()) for values in int8_weights), default=0)
