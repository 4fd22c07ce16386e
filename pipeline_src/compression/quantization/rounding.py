"""Rounding of weights to int8 steps such that the output of a convolution changes least, and of biases to int32 steps.

Rounded to the nearest step, every weight adds an error of its own. Here the weights of a channel are rounded one after
the other, and the remaining ones compensate for the error so far, as well as the correlation of their inputs allows.
In images neighbours are strongly correlated. (GPTQ: Frantar et al., ICLR 2023, arXiv 2210.17323; biases: Nagel et al.,
ICCV 2019, arXiv 1906.04721.)
"""

from typing import Any

import torch
from torch import Tensor, fx

from pipeline_src.graph.folding import Conv2dArguments, constant
from pipeline_src.graph.saturation import LARGEST_PAIR

aten = torch.ops.aten

POSITIONS = 1024  # positions of a convolution's output that are sampled in each image
MARGIN = 0.4  # steps between a weight and its rounded value; at 0.5 any step of QAT would undo the rounding
DAMPING = 0.01  # share of the mean variance that is added to every variance, as a few images do not show all inputs


class InputStatistics:
    """Moments of the inputs of every trained int8 convolution of one scale, and the rounding that they allow.

    Args:
        graph: A prepared graph with its fake quantisation off, so convolutions read what they read in the float net.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self.random = torch.Generator().manual_seed(0)
        self.layers = _layers(graph)
        self.readers: dict[fx.Node, list[tuple[_Layer, int]]] = {}
        for layer in self.layers:
            for use, conv in enumerate(layer.uses):
                self.readers.setdefault(conv.x, []).append((layer, use))

    def record(self, node: fx.Node, result: Any) -> None:
        """Add the result of a node to the moments of the convolutions that read it."""
        for layer, use in self.readers.get(node, ()):
            layer.record(result, use, self.random)

    def round_weights(self) -> None:
        """Choose what each weight is rounded to, and correct biases so that the mean of the output stays, in place.

        A weight is moved to within 0.4 steps of its rounded value and no further, so QAT starts from almost the float
        net. The steps of weights must be set. No pair of rounded weights can saturate (:func:`saturation.fits`), and a
        weight of 0 stays 0. Weights that are used several times are rounded for all of their uses at once.
        """
        with torch.no_grad():
            for layer in self.layers:
                layer.round()


def round_biases(graph: fx.GraphModule) -> None:
    """Round the biases of int8 convolutions to the steps in which runtimes add them, in place.

    A step is that of the input times that of the channel's weights. It is so coarse that without rounding one hidden
    value in fifty would be another level. With it, torch computes what TFLite computes.
    """
    for node in graph.graph.nodes:
        if node.target is not aten.conv2d.default:
            continue
        conv = Conv2dArguments(*node.args)
        if conv.bias is not None and conv.x.op == conv.weight.op == "call_module":
            inputs: Any = graph.get_submodule(conv.x.target)
            weights: Any = graph.get_submodule(conv.weight.target)
            steps = inputs.scale.double() * weights.scale.double()
            bias = constant(graph, conv.bias).data
            bias.copy_((bias.double() / steps).round() * steps)


class _Layer:
    """The weights of a convolution, all their uses, and the moments of each use's inputs.

    An input is a patch: the K values that a row of weights is multiplied with.
    """

    def __init__(
        self, weight: Tensor, quantizer: Any, uses: list[Conv2dArguments], biases: list[Tensor | None]
    ) -> None:
        self.weight, self.quantizer, self.uses, self.biases = weight, quantizer, uses, biases
        self.groups = uses[0].groups
        length = weight[0].numel()
        self.counts = [0] * len(uses)
        self.sums = torch.zeros(len(uses), self.groups, length, dtype=torch.float64)
        self.products = torch.zeros(self.groups, length, length, dtype=torch.float64)

    def record(self, x: Tensor, use: int, random: torch.Generator) -> None:
        """Add random patches of the input of one use."""
        patches = _patches(x, self.uses[use], self.weight.shape[2], random)
        self.counts[use] += patches.shape[2]
        self.sums[use] += patches.sum(2, dtype=torch.float64)
        self.products += patches @ patches.transpose(1, 2)  # of one image in float32, twice as fast as in float64

    def round(self) -> None:
        """Round the weights, and add what the rounding takes from the mean output to the biases."""
        counts = torch.tensor(self.counts).double()
        means = self.sums / counts[:, None, None]
        # Covariances are around the mean of each use, because its bias compensates for the error of the mean.
        products_of_means = torch.einsum("u,ugi,ugj->gij", counts, means, means)
        covariances = (self.products - products_of_means) / counts.sum()
        weights = self.weight.detach().double().flatten(1)
        steps = self.quantizer.scale.double()
        groups = zip(weights.chunk(self.groups), steps.chunk(self.groups), covariances, strict=True)
        rounded = torch.cat(
            [round_rows(rows, row_steps, covariance) * row_steps[:, None] for rows, row_steps, covariance in groups]
        )
        for bias, mean in zip(self.biases, means, strict=True):
            if bias is not None:
                mean_by_output = mean.repeat_interleave(len(weights) // self.groups, dim=0)
                bias += ((weights - rounded) * mean_by_output).sum(1).float()
        margin = MARGIN * steps[:, None]
        self.weight.copy_(weights.clamp(rounded - margin, rounded + margin).view_as(self.weight).float())


def round_rows(weights: Tensor, steps: Tensor, covariance: Tensor) -> Tensor:
    """Round the rows of a matrix to whole steps such that the variance of the output's error is small.

    Args:
        weights: O×K, float64.
        steps: O, float64.
        covariance: K×K, float64, of the inputs that the rows are multiplied with.

    Returns:
        O×K, float64, in whole steps; they :func:`fit <saturation.fits>` if the nearest ones do.
    """
    low, high = _bounds((weights / steps[:, None]).round(), weights == 0)
    variances = covariance.diagonal().clamp(min=0)
    # Inputs of the smallest variance come last, because nothing can compensate for the error of the last.
    order = variances.argsort(descending=True, stable=True)
    damping = DAMPING * variances.mean().item() or 1.0  # for constant inputs any damping gives the same
    damped = covariance[order][:, order] + damping * torch.eye(len(order), dtype=covariance.dtype)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    remaining, rounded = weights[:, order], torch.zeros_like(weights)
    for i, column in enumerate(order.tolist()):
        nearest = (remaining[:, i] / steps).round().clamp(low[:, column], high[:, column])
        rounded[:, column] = nearest
        error = (remaining[:, i] - nearest * steps) / factor[i, i]
        remaining[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :]
    return rounded


def _bounds(nearest: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Return the limits of each weight, in steps, within which no two weights of one sign add up to more than 128.

    The largest weight of each row and sign may reach 64, or its nearest value if that is more; all others may reach 128
    less that. A weight of 0 stays 0.
    """
    bounds = []
    for weights in (-nearest, nearest):
        largest = weights.amax(1, keepdim=True).clamp(min=LARGEST_PAIR // 2)
        others = (LARGEST_PAIR - largest).expand_as(weights)
        bound = others.scatter(1, weights.argmax(1, keepdim=True), largest)
        bounds.append(bound.masked_fill(zero, 0))
    return -bounds[0], bounds[1]


def _layers(graph: fx.GraphModule) -> list[_Layer]:
    """Return the convolutions whose weights are trained and int8."""
    uses: dict[str, list[Conv2dArguments]] = {}
    for node in graph.graph.nodes:
        if node.target is aten.conv2d.default:
            conv = Conv2dArguments(*node.args)
            if conv.weight.op == "call_module" and isinstance(constant(graph, conv.source()), torch.nn.Parameter):
                uses.setdefault(conv.source().target, []).append(conv)
    layers = []
    for convs in uses.values():
        biases = [None if conv.bias is None else constant(graph, conv.bias).data for conv in convs]
        quantizer = graph.get_submodule(convs[0].weight.target)
        layers.append(_Layer(constant(graph, convs[0].source()).data, quantizer, convs, biases))
    return layers


def _patches(x: Tensor, conv: Conv2dArguments, side: int, random: torch.Generator) -> Tensor:
    """Return groups × K × positions: the values that weights are multiplied with at random positions of the output."""
    vertical, horizontal = conv.padding
    padded = torch.nn.functional.pad(x[0], (horizontal, horizontal, vertical, vertical))
    stride_y, stride_x = conv.stride
    rows, columns = (padded.shape[1] - side) // stride_y + 1, (padded.shape[2] - side) // stride_x + 1
    positions = torch.randint(rows * columns, (min(POSITIONS, rows * columns),), generator=random)
    y, x0 = positions // columns * stride_y, positions % columns * stride_x
    parts = [padded[:, y + dy, x0 + dx] for dy in range(side) for dx in range(side)]
    return torch.stack(parts, dim=1).reshape(conv.groups, -1, len(positions))
