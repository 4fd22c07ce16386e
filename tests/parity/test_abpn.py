"""ABPN against its paper and its authors' files: parameters, Mult-Adds, the anchor, the channel order."""

import pytest
import torch
from torch.nn import functional

from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.models import build
from pipeline_src.models.abpn import RESIDUALS
from pipeline_src.models.layers.operators import depth_to_space, space_to_depth


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


def without_weights(residual: str) -> torch.nn.Module:
    net = build("abpn", [3], {"residual": residual})
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    return net  # type: ignore[no-any-return]


@pytest.mark.parametrize("residual", ["nearest", "bilinear"])
def test_without_weights_a_residual_in_image_space_is_the_resize(residual: str) -> None:
    lr = torch.rand(2, 3, 5, 7) * 255
    assert torch.equal(without_weights(residual)(lr), functional.interpolate(lr, scale_factor=3, mode=residual))


@pytest.mark.parametrize("residual", ["feature", "none"])
def test_without_weights_and_without_an_image_residual_nothing_is_left(residual: str) -> None:
    assert not without_weights(residual)(torch.rand(2, 3, 5, 7) * 255).any()


@torch.no_grad()
def test_the_residual_of_features_goes_over_the_inner_convolutions() -> None:
    net = build("abpn", [3], {"residual": "feature"})
    convs = [layer for layer in net.body if isinstance(layer, torch.nn.Conv2d)]
    for conv in convs[1:5]:
        torch.nn.init.zeros_(conv.weight)
    lr = torch.rand(1, 3, 6, 5) * 255
    image = convs[6](torch.relu(convs[5](torch.relu(convs[0](lr)))))
    assert torch.equal(net(lr), depth_to_space(image, 3))


@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize(("image_conv", "count"), [(True, 42_539), (False, 43_035)])
def test_the_extra_convolution_is_in_image_space_or_one_more_of_features(
    residual: str, image_conv: bool, count: int
) -> None:
    net = build("abpn", [3], {"residual": residual, "image_conv": image_conv})
    assert parameters(net) == count
    assert list(net.state_dict()) == [f"body.{2 * i}.{key}" for i in range(7) for key in ("weight", "bias")]


def test_an_unknown_residual_is_named() -> None:
    with pytest.raises(ValueError, match="one of anchor, nearest, bilinear, feature, none, not 'bicubic'"):
        build("abpn", [3], {"residual": "bicubic"})


def test_depth_to_space_is_pixel_shuffle_in_the_other_channel_order() -> None:
    x = torch.rand(2, 27, 4, 5)
    reordered = x.reshape(2, 9, 3, 4, 5).transpose(1, 2).reshape(2, 27, 4, 5)
    assert torch.equal(depth_to_space(x, 3), functional.pixel_shuffle(reordered, 3))
    assert torch.equal(space_to_depth(depth_to_space(x, 3), 3), x)


def test_depth_to_space_and_back_pass_torchs_own_operator_checks() -> None:
    torch.library.opcheck(depth_to_space, (torch.rand(1, 12, 2, 3, requires_grad=True), 2))
    torch.library.opcheck(space_to_depth, (torch.rand(1, 3, 4, 6, requires_grad=True), 2))


def test_output_is_clamped_to_pixels_but_not_in_training() -> None:
    net = build("abpn", [3], {})
    bright = torch.full((1, 3, 2, 2), 500.0)
    assert net(bright).max() == 500
    out = net.eval()(torch.tensor([-500.0, 500.0]).repeat_interleave(12).reshape(1, 3, 2, 4))
    assert out.min() >= 0
    assert out.max() <= 255
