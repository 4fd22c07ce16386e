"""The largest sum of two products in a net. (The bounds on weights: tests/compression/test_ranges.py.)"""

import numpy as np

from pipeline_src.graph.operations import Activation, Convolution, OperationGraph, Relu, Weights
from pipeline_src.graph.saturation import LARGEST_SUM, largest_sum


def convolution(values: list[int], int8: bool = True) -> Convolution:
    weights = np.array(values)[None, :, None, None]
    bias = np.zeros(1, np.float32)
    if int8:
        layer = Weights(weights.astype(np.int8), np.ones(1), bias, 1, 0, 1)
    else:
        layer = Weights(weights.astype(np.float32), None, bias, 1, 0, 1)
    return Convolution([Activation(len(values))], [Activation(1)], layer)


def test_it_is_that_of_two_weights_of_one_sign_in_any_int8_convolution() -> None:
    relu = Relu([Activation(1)], [Activation(1)])
    layers = [convolution([127, -127, 1]), relu, convolution([-60, -69, 100]), convolution([999, 999], int8=False)]
    assert largest_sum(OperationGraph(operations=layers)) == 255 * 129 > LARGEST_SUM
    assert largest_sum(OperationGraph(operations=layers[:1])) == 255 * 128 < LARGEST_SUM
    assert largest_sum(OperationGraph(operations=layers[3:])) == 0
