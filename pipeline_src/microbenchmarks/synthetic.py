"""Activations and weights of nets made only to be timed: the cost of an operator depends on its shapes alone."""

import numpy as np

from pipeline_src.graph.operations import Activation, Weights
from pipeline_src.graph.saturation import LARGEST_PAIR

STEP = 2.0**-4  # between two values of an int8 activation


def activation(channels: int, int8: bool) -> Activation:
    """Return an activation of any values, in int8 in steps of ``STEP``."""
    return Activation(channels, STEP if int8 else None)


def random_weights(inputs: int, outputs: int, side: int, groups: int, int8: bool) -> Weights:
    """Return random weights of a ``side``×``side`` convolution that keeps height and width.

    Int8 weights are so small that they cannot saturate on any CPU (:mod:`pipeline_src.graph.saturation`).
    """
    random = np.random.default_rng(0)
    shape = outputs, inputs // groups, side, side
    bias = np.zeros(outputs, np.float32)
    if int8:
        largest = LARGEST_PAIR // 2
        values, scales = random.integers(-largest, largest + 1, shape, np.int8), np.full(outputs, 2.0**-8)
        return Weights(values, scales, bias, 1, side // 2, groups)
    return Weights(random.standard_normal(shape, np.float32), None, bias, 1, side // 2, groups)
