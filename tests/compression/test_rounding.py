"""Weights on whole steps: the error of what a convolution gives, and the limits of each weight."""

import copy

import pytest
import torch
from small_net import NETS, calibrated, images, prepared, tensor, trained
from torchao.quantization.pt2e import FakeQuantize

from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.compression.quantization.ranges import smallest_step
from pipeline_src.compression.quantization.rounding import round_rows
from pipeline_src.graph import reading
from pipeline_src.graph.folding import GraphNet, fold
from pipeline_src.graph.operations import Convolution
from pipeline_src.graph.saturation import fits


def rows_and_inputs(correlation: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """40 rows of 36 weights, their steps, and inputs of which neighbours are as alike as ``correlation`` says."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 36, generator=random).double()
    places = torch.arange(36.0)
    covariance = (correlation ** (places[:, None] - places).abs()).double()
    return rows, smallest_step(rows), covariance


def error(difference: torch.Tensor, covariance: torch.Tensor) -> float:
    """The variance of what wrong weights add to the output."""
    return torch.einsum("oi,ij,oj->", difference, covariance, difference).item()


@pytest.mark.parametrize(("correlation", "most"), [(0.95, 0.35), (0.5, 0.95), (0.0, 1.001)])
def test_the_error_falls_as_far_as_inputs_are_alike(correlation: float, most: float) -> None:
    rows, steps, covariance = rows_and_inputs(correlation)
    rounded = round_rows(rows, steps, covariance)
    nearest = (rows / steps[:, None]).round()
    assert torch.equal(rounded, rounded.round())
    assert fits(rounded).all()
    before, after = (error(whole * steps[:, None] - rows, covariance) for whole in (nearest, rounded))
    assert after <= most * before


def test_zero_stays_zero_and_inputs_that_never_change_are_rounded_to_the_nearest() -> None:
    rows, steps, covariance = rows_and_inputs(0.95)
    rows[:, ::3] = 0
    assert not round_rows(rows, steps, covariance)[:, ::3].any()
    dead = torch.zeros_like(covariance)
    assert torch.equal(round_rows(rows, steps, dead), (rows / steps[:, None]).round())


@pytest.mark.parametrize("name", NETS)
def test_rounded_weights_give_the_image_of_the_float_net(name: str) -> None:
    """With all activations in float."""
    net = trained(name)
    graphs = prepared(net)
    calibrate(graphs, {scale: images() for scale in net.description.scales})
    for module in graphs.modules():
        if isinstance(module, FakeQuantize):
            module.enable_fake_quant(module.is_per_channel)
    for scale in net.description.scales:
        with torch.no_grad():
            for image in map(tensor, images()):
                given, exact = (part.at_scale(scale)(image).clamp(0, 255) for part in (graphs, fold(net)))
                assert abs((given - exact).mean()) < 0.1
                assert (given - exact).square().mean() < 0.5


@pytest.mark.parametrize("name", ["carn_m", "vdsr", "mobile_subnet"])
def test_biases_are_on_the_steps_of_each_use_of_the_weights(name: str) -> None:
    """After calibration, and again when training has moved them."""
    graphs = copy.deepcopy(calibrated(trained(name)))
    assert_on_steps(graphs)
    for parameter in graphs.parameters():
        parameter.data *= 1.01
    quantization.begin_qat(graphs)
    quantization.end_qat(graphs)
    assert_on_steps(graphs)


def assert_on_steps(graphs: GraphNet) -> None:
    for scale in graphs.description.scales:
        net = reading.read(quantization.convert(graphs).at_scale(scale))
        convolutions = [operation for operation in net.operations if isinstance(operation, Convolution)]
        layers = [(convolution.weights, convolution.inputs[0]) for convolution in convolutions]
        assert len(layers) >= 5
        for weights, x in layers:
            whole, steps = weights.int32_bias(x)
            assert abs(whole * steps.astype(float) - weights.bias).max() < 0.02 * steps.min()
