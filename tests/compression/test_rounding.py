"""Weights on whole steps: the error of what a convolution gives, and the limits of each weight."""

import pytest
import torch
from small_net import NETS, images, prepared, tensor, trained
from torchao.quantization.pt2e import disable_fake_quant

from pipeline_src.compression.calibration import calibrate
from pipeline_src.compression.folding import fold
from pipeline_src.compression.ranges import fits, smallest_step
from pipeline_src.compression.rounding import round_rows


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
    graphs.apply(disable_fake_quant)
    for scale in net.description.scales:
        with torch.no_grad():
            for image in map(tensor, images()):
                given, exact = (part.at_scale(scale)(image).clamp(0, 255) for part in (graphs, fold(net)))
                assert abs((given - exact).mean()) < 0.1
                assert (given - exact).square().mean() < 0.5
