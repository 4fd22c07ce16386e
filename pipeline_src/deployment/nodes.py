"""The operators that a net for an edge device could be built of, each as a net of its own, to measure what it costs.

After the meta-node study of ABPN (Du et al., CVPR Workshops 2021, arXiv 2105.09750).
"""

import numpy as np

from pipeline_src.compression.ranges import LARGEST_PAIR
from pipeline_src.deployment.operations import Activation, Kind, Operation, Operations, Weights, repeats_as_convolutions

UPSCALE = 3
STEP = 2.0**-4  # of every int8 activation


def nodes(channels: int, width: int, int8: bool) -> dict[str, Operations]:
    """Each operator on ``channels`` channels, those that upscale on what becomes an RGB image; float or int8.

    ``width`` is that of the input, which the transpose makes its channels. ``channels`` must be a multiple of 4.
    """

    def of(
        kind: Kind,
        output: int,
        *inputs: int,
        times: int = 1,
        parts: int = 1,
        number: int = 0,
        weights: Weights | None = None,
    ) -> Operations:
        ends = {f"x{i}": activation(count, int8) for i, count in enumerate(inputs)}
        made = [activation(output, int8) for _ in range(parts)]
        step = Operation(kind, [*ends.values()] * times, made[0], weights, number, others=made[1:])
        return Operations(ends, {f"y{i}": x for i, x in enumerate(made)}, [step])

    def convolution(side: int, groups: int = 1) -> Operations:
        return of("convolution", channels, channels, weights=random_weights(channels, channels, side, groups, int8))

    anchor = of("concatenation", 3 * UPSCALE**2, 3, times=UPSCALE**2)
    return {
        "3×3 convolution": convolution(3),
        "1×1 convolution": convolution(1),
        "3×3 convolution, 4 groups": convolution(3, 4),
        "3×3 depthwise convolution": convolution(3, channels),
        "ReLU": of("relu", channels, channels),
        "LeakyReLU": of("leaky_relu", channels, channels),
        "PReLU": of("prelu", channels, channels),
        "sum of two": of("sum", channels, channels, channels),
        "product of two": of("product", channels, channels, channels),
        "concatenation of two": of("concatenation", 2 * channels, channels, channels),
        "split in two": of("split", channels // 2, channels, parts=2),
        "transpose": of("transpose", width, channels),
        f"anchor (image {UPSCALE**2} times)": anchor,
        "anchor as a 1×1 convolution": repeats_as_convolutions(anchor),
        f"depth to space ×{UPSCALE}": of("depth_to_space", 3, 3 * UPSCALE**2, number=UPSCALE),
        f"nearest resize ×{UPSCALE}": of("nearest", 3, 3, number=UPSCALE),
        f"bilinear resize ×{UPSCALE}": of("bilinear", 3, 3, number=UPSCALE),
    }


def activation(channels: int, int8: bool) -> Activation:
    """Of any values; in int8 in steps of ``STEP``."""
    return Activation(channels, STEP if int8 else None)


def random_weights(inputs: int, outputs: int, side: int, groups: int, int8: bool) -> Weights:
    """Of a convolution that keeps height and width; int8 ones cannot saturate on any CPU (:mod:`ranges`)."""
    random = np.random.default_rng(0)
    shape = outputs, inputs // groups, side, side
    bias = np.zeros(outputs, np.float32)
    if int8:
        largest = LARGEST_PAIR // 2
        values, scales = random.integers(-largest, largest + 1, shape, np.int8), np.full(outputs, 2.0**-8)
        return Weights(values, scales, bias, 1, side // 2, groups)
    return Weights(random.standard_normal(shape, np.float32), None, bias, 1, side // 2, groups)
