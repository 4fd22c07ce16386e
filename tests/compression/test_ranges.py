"""The range of an 8-bit activation, and the step of given weights."""

import numpy as np
import pytest
import torch

from pipeline_src.compression.quantization.ranges import least_error_range, smallest_step, sum_keeping_step
from pipeline_src.graph.saturation import fits, largest_pair
from pipeline_src.models.layers import BicubicUpscale


def squared_error(values: torch.Tensor, low: float, high: float) -> float:
    scale = (high - low) / 255
    zero = round(-low / scale)
    return (torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255) - values).square().mean().item()


def test_an_outlier_does_not_cost_the_rest_its_resolution() -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.rand(1_000_000) * 10, torch.tensor([16.0])])
    low, high = least_error_range(values)
    assert low == 0
    assert 10 <= high < 12
    assert squared_error(values, low, high) < 0.7 * squared_error(values, 0, 16)


def test_even_values_keep_their_whole_range() -> None:
    assert least_error_range(torch.linspace(-40, 80, 100_000)) == pytest.approx((-40, 80), rel=0.03)


def test_zero_is_always_inside() -> None:
    low, high = least_error_range(torch.linspace(30, 90, 10_000))
    assert low == 0
    assert high == pytest.approx(90, rel=0.03)


def test_a_dead_activation_has_the_range_zero() -> None:
    assert least_error_range(torch.zeros(100)) == (0, 0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rounded_bicubic_weights_keep_their_sum(scale: int) -> None:
    weights = BicubicUpscale(scale).pixels.weight.double().numpy()
    naive = 0.0
    for row in weights.reshape(len(weights), -1):
        assert row.sum() == pytest.approx(1, abs=1e-6)
        step = sum_keeping_step(row)
        rounded = np.rint(row / step)
        assert rounded.sum() * step == pytest.approx(1, abs=1e-6)
        assert fits(torch.tensor(rounded)[None]).all()
        assert abs(rounded * step - row).max() <= step / 2
        smallest = smallest_step(torch.tensor(row)[None]).item()
        assert smallest <= step < 2 * smallest
        naive = max(naive, abs(np.rint(row / smallest).sum() * smallest - 1))
    assert naive > 1e-4, "there was nothing to keep"


def test_weights_without_a_sum_have_the_smallest_step() -> None:
    assert sum_keeping_step(np.array([0.5, -0.5, 0.25, -0.25])) == pytest.approx(0.75 / 127)
    assert sum_keeping_step(np.zeros(5)) == 0


def test_the_largest_pair_is_of_one_sign() -> None:
    rows = torch.tensor([[3, -5, 4, -1], [9, -1, -2, 0], [-7, 1, 2, 3]], dtype=torch.int8)
    assert largest_pair(rows).tolist() == [7, 9, 7]
    assert largest_pair(torch.tensor([[2.5], [-4.0]])).tolist() == [2.5, 4]


def test_weights_rounded_in_their_smallest_step_cannot_saturate() -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(20_000, 4, generator=random)
    steps = smallest_step(rows)
    rounded = (rows / steps[:, None]).round()
    assert fits(rounded).all()
    assert not fits((rows / (0.98 * steps[:, None])).round()).any()  # nor would a smaller step do
    assert 255 * 128 <= 32767 < 255 * 129


def test_a_channel_of_zeros_has_a_step_like_the_others() -> None:
    """In the smallest step that there is, its bias would be no int32."""
    assert smallest_step(torch.tensor([[0.0, 0.0], [1.0, 2.0], [-4.0, -1.0]])).tolist() == pytest.approx(
        [4 / 127, 3 / 127, 5 / 127]
    )
    assert smallest_step(torch.zeros(2, 9)).tolist() == [1, 1]
