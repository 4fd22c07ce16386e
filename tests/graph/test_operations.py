"""Operations: the weights of a convolution, and concatenations that are replaced by convolutions."""

import numpy as np
import pytest

from pipeline_src.graph.operations import (
    Activation,
    Concatenation,
    Convolution,
    OperationGraph,
    Weights,
    repeats_as_convolutions,
)


def weights(scales: list[float] | None, bias: list[float]) -> Weights:
    values = np.array([[1.0, -2.0], [3.0, 4.0]])[:, :, None, None]
    return Weights(
        values.astype(np.int8 if scales else np.float32),
        np.array(scales) if scales else None,
        np.array(bias, np.float32),
        stride=1,
        padding=0,
        groups=1,
    )


def test_a_factor_goes_into_float_values_and_into_the_scales_of_int8_ones() -> None:
    for layer in (weights(None, [10, 20]), weights([0.5, 0.25], [10, 20])):
        before = layer.values * (1 if layer.scales is None else layer.scales[:, None, None, None])
        layer.multiply(3)
        after = layer.values * (1 if layer.scales is None else layer.scales[:, None, None, None])
        assert np.array_equal(after, 3 * before)
        assert layer.bias.tolist() == [30, 60]
        assert layer.bias.dtype == np.float32


def test_an_int8_bias_is_in_steps_of_input_and_weights_and_has_to_fit() -> None:
    values, steps = weights([0.5, 0.25], [10, 20.03]).int32_bias(Activation(2, scale=0.5))
    assert (values.tolist(), values.dtype) == ([40, 160], np.int32)
    assert (steps.tolist(), steps.dtype) == ([0.25, 0.125], np.float32)
    with pytest.raises(ValueError, match="is no int32 in steps of"):
        weights([1e-9, 1e-9], [10, 20]).int32_bias(Activation(2, scale=0.5))


@pytest.mark.parametrize("scale", [None, 0.5])
def test_only_a_concatenation_of_one_activation_with_itself_becomes_a_convolution(scale: float | None) -> None:
    x, y = Activation(2, scale), Activation(2, scale)
    repeated, joined = (
        Concatenation([x, x, x], [Activation(6, scale)]),
        Concatenation([x, y, x], [Activation(6, scale)]),
    )
    net = OperationGraph({"x": x, "y": y}, {}, [repeated, joined])
    convolution, unchanged = repeats_as_convolutions(net).operations
    assert unchanged is joined
    assert net.operations == [repeated, joined]
    assert isinstance(convolution, Convolution)
    assert (convolution.inputs, convolution.outputs) == ([x], repeated.outputs)
    assert np.array_equal(convolution.weights.values[..., 0, 0] @ [7, 9], [7, 9] * 3)
    assert (convolution.weights.scales is None) == (scale is None)
