"""Nets of one operator each, to measure the costs of operators on an edge device.

This follows the meta-node study of ABPN (Du et al., CVPR Workshops 2021, arXiv 2105.09750).
"""

import numpy as np

from pipeline_src.graph.operations import (
    Concatenation,
    Convolution,
    DepthToSpace,
    LeakyRelu,
    Operation,
    OperationGraph,
    PRelu,
    Product,
    Relu,
    Resize,
    Split,
    Sum,
    Transpose,
    repeats_as_convolutions,
)
from pipeline_src.microbenchmarks.synthetic import activation, random_weights

UPSCALE = 3
SLOPE = 0.1  # of LeakyReLU and PReLU


def operators(channels: int, width: int, int8: bool) -> dict[str, OperationGraph]:
    """Return each operator as a net, by its name in the report.

    Args:
        channels: of inputs and outputs, a multiple of 4. Operators that upscale or repeat an image have fixed channels.
        width: of the input in pixels, which become the channels of the transpose.
        int8: whether activations and weights are int8 instead of float32.
    """

    def convolution(side: int, groups: int = 1) -> OperationGraph:
        weights = random_weights(channels, channels, side, groups, int8)
        x, y = activation(channels, int8), activation(channels, int8)
        return _net(Convolution([x], [y], weights))

    # Inputs and outputs, first of operators on feature maps, then of those on images.
    x, x2, y = (activation(channels, int8) for _ in range(3))
    halves = [activation(channels // 2, int8) for _ in range(2)]
    image, sr, subpixels = (activation(count, int8) for count in (3, 3, 3 * UPSCALE**2))
    anchor = _net(Concatenation([image] * UPSCALE**2, [subpixels]))
    return {
        "3×3 convolution": convolution(3),
        "1×1 convolution": convolution(1),
        "3×3 convolution, 4 groups": convolution(3, 4),
        "3×3 depthwise convolution": convolution(3, channels),
        "ReLU": _net(Relu([x], [y])),
        "LeakyReLU": _net(LeakyRelu([x], [y], SLOPE)),
        "PReLU": _net(PRelu([x], [y], np.full(channels, SLOPE))),
        "sum of two": _net(Sum([x, x2], [y])),
        "product of two": _net(Product([x, x2], [y])),
        "concatenation of two": _net(Concatenation([x, x2], [activation(2 * channels, int8)])),
        "split in two": _net(Split([x], halves)),
        "transpose": _net(Transpose([x], [activation(width, int8)])),
        f"anchor (image {UPSCALE**2} times)": anchor,
        "anchor as a 1×1 convolution": repeats_as_convolutions(anchor),
        f"depth to space ×{UPSCALE}": _net(DepthToSpace([subpixels], [sr], UPSCALE)),
        f"nearest resize ×{UPSCALE}": _net(Resize([image], [sr], "nearest", UPSCALE)),
        f"bilinear resize ×{UPSCALE}": _net(Resize([image], [sr], "bilinear", UPSCALE)),
    }


def _net(operation: Operation) -> OperationGraph:
    """Return a net of one operation, with inputs ``x0``, ``x1``, … and outputs ``y0``, ``y1``, …."""
    inputs = {f"x{i}": x for i, x in enumerate(dict.fromkeys(operation.inputs))}
    outputs = {f"y{i}": y for i, y in enumerate(operation.outputs)}
    return OperationGraph(inputs, outputs, [operation])
