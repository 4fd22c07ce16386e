"""ABPN against its paper and its authors' files: parameters, Mult-Adds, the anchor, the channel order."""

import pytest
import torch
from torch.nn import functional

from pipeline_src.evaluation.complexity import mult_adds, parameters
from pipeline_src.models import build
from pipeline_src.models.layers import depth_to_space, space_to_depth


@pytest.mark.parametrize(("scale", "count"), [(2, 33_464), (3, 42_539), (4, 62_048)])
def test_parameters(scale: int, count: int) -> None:
    assert parameters(build("abpn", [scale], {})) == count


@pytest.mark.parametrize(("scale", "giga"), [(2, 7.67), (3, 4.34), (4, 3.56)])
def test_mult_adds_at_720p(scale: int, giga: float) -> None:
    assert mult_adds(build("abpn", [scale], {}), scale) / 1e9 == pytest.approx(giga, abs=0.005)


def test_mult_adds_of_the_timing_size() -> None:
    net = build("abpn", [3], {})
    assert mult_adds(net, 3) * (1080 * 1920) / (720 * 1280) / 1e9 == pytest.approx(9.76, abs=0.005)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_weights_the_anchor_is_nearest_neighbour_upscaling(scale: int) -> None:
    net = build("abpn", [scale], {})
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    lr = torch.rand(2, 3, 5, 7) * 255
    assert torch.equal(net(lr), functional.interpolate(lr, scale_factor=scale, mode="nearest"))


def test_depth_to_space_is_pixel_shuffle_in_the_other_channel_order() -> None:
    x = torch.rand(2, 27, 4, 5)
    reordered = x.reshape(2, 9, 3, 4, 5).transpose(1, 2).reshape(2, 27, 4, 5)
    assert torch.equal(depth_to_space(x, 3), functional.pixel_shuffle(reordered, 3))
    assert torch.equal(space_to_depth(depth_to_space(x, 3), 3), x)


def test_depth_to_space_passes_torchs_own_operator_checks() -> None:
    torch.library.opcheck(depth_to_space, (torch.rand(1, 12, 2, 3, requires_grad=True), 2))


def test_output_is_clamped_to_pixels_but_not_in_training() -> None:
    net = build("abpn", [3], {})
    bright = torch.full((1, 3, 2, 2), 500.0)
    assert net(bright).max() == 500
    out = net.eval()(torch.tensor([-500.0, 500.0]).repeat_interleave(12).reshape(1, 3, 2, 4))
    assert out.min() >= 0
    assert out.max() <= 255
