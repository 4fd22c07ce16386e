"""CAR's facts: parameter counts, kernels, rounding, regularisers."""

import pytest
import torch

from pipeline_src import downscaling
from pipeline_src.downscaling.car import resampler
from pipeline_src.downscaling.car.network import Sampling
from pipeline_src.training import joint

SLIM = {"entry": 4, "features": 8, "head": 8, "blocks": 1}


@pytest.mark.parametrize(("scale", "parameters"), [(2, 10_645_651), (4, 9_896_443)])
def test_the_published_size(scale: int, parameters: int) -> None:
    net = downscaling.build("car", [scale], {})
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == parameters


def test_taps_are_three_times_the_scale_and_one() -> None:
    assert [resampler.taps_of(scale) for scale in (2, 4)] == [7, 13]


@pytest.mark.parametrize("scales", [[3], [2, 4], [8, 2]])
def test_scales_that_an_eighth_does_not_make_are_refused(scales: list[int]) -> None:
    with pytest.raises(ValueError, match="one scale, 2 or 4"):
        downscaling.build("car", scales, SLIM)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 40), (64, 24), (33, 33)])
def test_any_size_goes_through(scale: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = downscaling.build("car", [scale], SLIM).eval()
    lr, _ = net(255 * torch.rand(1, 3, *size))
    assert lr.shape == (1, 3, *(-(-side // scale) for side in size))


@pytest.mark.parametrize("scale", [2, 4])
def test_kernels_sum_to_one_and_a_plain_image_keeps_its_colour(scale: int) -> None:
    torch.manual_seed(0)
    net = downscaling.build("car", [scale], SLIM).eval()
    for head in (net.kernels, net.down, net.across):
        torch.nn.init.normal_(head[-1].weight)
    colour = torch.tensor([10.0, 100.0, 250.0])[None, :, None, None]
    lr, sampling = net(colour.expand(1, 3, 40, 24))
    torch.testing.assert_close(sampling.kernels.sum(1), torch.ones(1, 40 // scale, 24 // scale))
    assert sampling.kernels.min() > 0
    assert sampling.down.abs().max() <= 1
    torch.testing.assert_close(lr, colour.expand_as(lr), atol=1e-2, rtol=0)


def test_the_untrained_net_is_a_plain_downscaler_with_a_gradient_at_every_tap() -> None:
    torch.manual_seed(0)
    net = downscaling.build("car", [4], SLIM)
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    lr, sampling = net(ramp)
    inner = lr[0, 0, 4:-4, 4:-4]
    torch.testing.assert_close(inner, ramp[0, 0, :8, 16:48].unfold(1, 4, 4).mean(-1), atol=0.2, rtol=0)
    assert not sampling.down.any()
    (bias,) = torch.autograd.grad(lr.square().sum(), [net.kernels[-1].bias])
    assert (bias != 0).all()


def test_without_offsets_the_taps_stay_where_they_are() -> None:
    net = downscaling.build("car", [2], SLIM | {"offsets": False})
    torch.nn.init.normal_(net.down[-1].weight)
    assert not net(255 * torch.rand(1, 3, 16, 16))[1].down.any()


def test_rounding_is_hard_forwards_and_soft_backwards() -> None:
    values = torch.tensor([-3.0, 0.25, 0.5, 7.75, 254.6, 300.0], requires_grad=True)
    for way, slopes in (
        (joint.round_soft, 1 - torch.cos(2 * torch.pi * values.detach())),
        (joint.round_straight, torch.ones(6)),
    ):
        rounded = way(values)
        assert rounded.tolist() == [0, 0, 0, 8, 255, 255]
        (gradient,) = torch.autograd.grad(rounded.sum(), values)
        expected = slopes * torch.tensor([0, 1, 1, 1, 1, 0])
        torch.testing.assert_close(gradient, expected, atol=1e-3, rtol=1e-3)


def test_regularisers_do_not_depend_on_the_size_of_the_crop() -> None:
    torch.manual_seed(0)
    along_x = torch.rand(1, 49, 1, 1) * torch.arange(4.0).expand(1, 49, 4, 4) % 2  # 0 r 0 r, whatever the width
    wide = torch.cat([along_x] * 8, dim=3)
    kernels = torch.full((1, 49, 4, 1), 1 / 49)
    small, large = (
        Sampling(kernels.expand_as(x), x, torch.zeros_like(x)).partial_variation().item() for x in (along_x, wide)
    )
    assert large == pytest.approx(small, rel=0.2)  # 8 times as many pixels
    flat = [torch.full((1, 49, *size), 0.3) for size in ((4, 4), (16, 8))]
    near, far = (Sampling.offset_distance(Sampling(x, x, x)) for x in flat)
    torch.testing.assert_close(near, far)


def test_only_the_partial_variation_counts() -> None:
    kernels = torch.full((1, 49, 6, 6), 1 / 49)
    ramp = torch.arange(6.0).expand(1, 49, 6, 6) / 10  # rises along x
    none = torch.zeros_like(ramp)
    assert Sampling.partial_variation(Sampling(kernels, ramp, none)).item() == pytest.approx(0.1)
    assert Sampling.partial_variation(Sampling(kernels, none, ramp)).item() == 0
    assert Sampling.partial_variation(Sampling(kernels, none, ramp.transpose(2, 3))).item() == pytest.approx(0.1)


def test_offsets_far_from_the_centre_cost_more() -> None:
    kernels, none = torch.full((1, 49, 2, 2), 1 / 49), torch.zeros(1, 49, 2, 2)
    centre, corner = (none.clone() for _ in range(2))
    centre[:, 24], corner[:, 0] = 1, 1
    near, far = (Sampling.offset_distance(Sampling(kernels, x, none)).item() for x in (centre, corner))
    assert near == pytest.approx(0, abs=1e-4)
    assert far == pytest.approx(2**0.5 * 3 / (2**0.5 * 3.5), rel=1e-3)
