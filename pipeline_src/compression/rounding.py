"""Weights rounded to int8 steps so that what a convolution gives changes least, and biases put on int32 steps.

Rounded to the nearest step by itself, each weight adds an error of its own. Here the weights of a channel are rounded
one after the other, and those that are still to come make good what has been lost so far, as far as the inputs that
they meet are alike; in images neighbours mostly are. (GPTQ: Frantar et al., ICLR 2023, arXiv 2210.17323; biases: Nagel
et al., ICCV 2019, arXiv 1906.04721.)
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx

from pipeline_src.graph.folding import Conv2dArguments, constant
from pipeline_src.graph.running import run
from pipeline_src.graph.saturation import LARGEST_PAIR

aten = torch.ops.aten

POSITIONS = 1024  # of a convolution's output that are looked at in each image
INSIDE = 0.4  # steps between a weight and the value that it is rounded to; at 0.5 any step of QAT would undo the choice
DAMPING = 0.01  # share of the mean variance that is added to each: a few images do not show all inputs


def round_weights(graph: fx.GraphModule, images: Sequence[np.ndarray]) -> None:
    """Choose what each trained weight of a prepared graph is rounded to, and let biases keep the mean of the output.

    In place: a weight is moved to within 0.4 steps of the value chosen for it, and no further, so that QAT starts from
    what is almost the float net. Steps must be set. No pair of rounded weights can saturate
    (:func:`saturation.fits`), and a weight that is zero stays zero. Weights that are used several times are rounded for
    all of their uses at once.

    Args:
        graph: of one scale, its fake quantisation off: what convolutions read is what they read in the float net.
        images: LR, uint8 H×W×3.
    """
    random = torch.Generator().manual_seed(0)
    layers = _layers(graph)
    readers: dict[fx.Node, list[tuple[_Layer, int]]] = {}
    for layer in layers:
        for use, conv in enumerate(layer.uses):
            readers.setdefault(conv.x, []).append((layer, use))

    def see(node: fx.Node, result: Any) -> None:
        for layer, use in readers.get(node, ()):
            layer.look_at(result, use, random)

    run(graph, images, see)
    with torch.no_grad():
        for layer in layers:
            layer.round()


def round_biases(graph: fx.GraphModule) -> None:
    """Put the biases of int8 convolutions on the steps in which runtimes add them, in place.

    Those are the step of the input times that of the weights of a channel, and so coarse that a hidden value is rounded
    to another level in one case of fifty. With biases on them, what torch computes is what TFLite computes.
    """
    for node in graph.graph.nodes:
        if node.target is not aten.conv2d.default:
            continue
        conv = Conv2dArguments(*node.args)
        if conv.bias is not None and conv.x.op == conv.weight.op == "call_module":
            inputs, weights = (cast(Any, graph.get_submodule(part.target)) for part in (conv.x, conv.weight))
            steps = inputs.scale.double() * weights.scale.double()
            bias = constant(graph, conv.bias).data
            bias.copy_((bias.double() / steps).round() * steps)


class _Layer:
    """A convolution's weights, all uses of them, each with a bias or None, and two moments of the inputs of each use.

    An input is a patch: the K values that a row of weights is multiplied with.
    """

    def __init__(self, weight: Tensor, steps: Tensor, uses: list[Conv2dArguments], biases: list[Tensor | None]) -> None:
        self.weight, self.steps, self.uses, self.biases = weight, steps.double(), uses, biases
        self.groups = uses[0].groups
        length = weight[0].numel()
        self.counts = [0] * len(uses)
        self.sums = torch.zeros(len(uses), self.groups, length, dtype=torch.float64)
        self.products = torch.zeros(self.groups, length, length, dtype=torch.float64)

    def look_at(self, x: Tensor, use: int, random: torch.Generator) -> None:
        patches = _patches(x, self.uses[use], self.weight.shape[2], random).double()
        self.counts[use] += patches.shape[2]
        self.sums[use] += patches.sum(2)
        self.products += patches @ patches.transpose(1, 2)

    def round(self) -> None:
        counts = torch.tensor(self.counts).double()
        means = self.sums / counts[:, None, None]
        # Around the mean of each use: what is lost of a mean, its bias makes good.
        of_means = torch.einsum("u,ugi,ugj->gij", counts, means, means)
        covariances = (self.products - of_means) / counts.sum()
        weights = self.weight.detach().double().flatten(1)
        groups = zip(weights.chunk(self.groups), self.steps.chunk(self.groups), covariances, strict=True)
        kept = torch.cat([round_rows(rows, steps, inputs) * steps[:, None] for rows, steps, inputs in groups])
        for bias, inputs in zip(self.biases, means, strict=True):
            if bias is not None:
                of_output = inputs.repeat_interleave(len(weights) // self.groups, dim=0)
                bias += ((weights - kept) * of_output).sum(1).float()
        reach = INSIDE * self.steps[:, None]
        self.weight.copy_(weights.clamp(kept - reach, kept + reach).view_as(self.weight).float())


def round_rows(weights: Tensor, steps: Tensor, covariance: Tensor) -> Tensor:
    """Whole numbers of steps for the rows of a matrix, so that the variance of their error on the inputs is small.

    Args:
        weights: O×K, float64.
        steps: O, float64.
        covariance: K×K, float64, of the inputs that the rows are multiplied with.

    Returns:
        O×K, whole numbers, float64; they :func:`fit <saturation.fits>` if the nearest ones do.
    """
    low, high = _bounds((weights / steps[:, None]).round(), weights == 0)
    variances = covariance.diagonal().clamp(min=0)
    # Inputs that vary least come last, because nothing is left to make good for the error of the last.
    order = variances.argsort(descending=True, stable=True)
    damping = DAMPING * variances.mean().item() or 1.0  # of inputs that never change all ways are alike
    damped = covariance[order][:, order] + damping * torch.eye(len(order), dtype=covariance.dtype)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    left, rounded = weights[:, order], torch.zeros_like(weights)
    for i, column in enumerate(order.tolist()):
        whole = (left[:, i] / steps).round().clamp(low[:, column], high[:, column])
        rounded[:, column] = whole
        error = (left[:, i] - whole * steps) / factor[i, i]
        left[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return rounded


def _bounds(nearest: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and the highest value of each weight, in steps, at which the sum of no two of one sign exceeds 128.

    The largest weight of a row and sign may go to 64, or stay where it is if that is more; every other one to 128 less
    that. A weight that is zero stays zero.
    """
    bounds = []
    for weights in (-nearest, nearest):
        of_largest = weights.amax(1, keepdim=True).clamp(min=LARGEST_PAIR // 2)
        of_others = (LARGEST_PAIR - of_largest).expand_as(weights)
        bound = of_others.scatter(1, weights.argmax(1, keepdim=True), of_largest)
        bounds.append(bound.masked_fill(zero, 0))
    return -bounds[0], bounds[1]


def _layers(graph: fx.GraphModule) -> list[_Layer]:
    """The convolutions whose weights are trained and in int8."""
    uses: dict[str, list[Conv2dArguments]] = {}
    for node in graph.graph.nodes:
        if node.target is aten.conv2d.default:
            conv = Conv2dArguments(*node.args)
            if conv.weight.op == "call_module" and isinstance(constant(graph, conv.source()), torch.nn.Parameter):
                uses.setdefault(conv.source().target, []).append(conv)
    layers = []
    for convs in uses.values():
        biases = [None if conv.bias is None else constant(graph, conv.bias).data for conv in convs]
        steps: Any = graph.get_submodule(convs[0].weight.target).scale
        layers.append(_Layer(constant(graph, convs[0].source()).data, steps, convs, biases))
    return layers


def _patches(x: Tensor, conv: Conv2dArguments, side: int, random: torch.Generator) -> Tensor:
    """Groups × K × positions: what the weights are multiplied with at random places of the output."""
    down, across = conv.padding
    padded = torch.nn.functional.pad(x[0], (across, across, down, down))
    stride_y, stride_x = conv.stride
    rows, columns = (padded.shape[1] - side) // stride_y + 1, (padded.shape[2] - side) // stride_x + 1
    places = torch.randint(rows * columns, (min(POSITIONS, rows * columns),), generator=random)
    y, x0 = places // columns * stride_y, places % columns * stride_x
    parts = [padded[:, y + dy, x0 + dx] for dy in range(side) for dx in range(side)]
    return torch.stack(parts, dim=1).reshape(conv.groups, -1, len(places))
