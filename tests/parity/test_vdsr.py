"""VDSR against its paper: parameters, Mult-Adds, initialisation, and bicubic upscaling of which it changes Y alone."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline_src.imaging.colour import FROM_RGB, UNIT, rgb_to_y_float
from pipeline_src.imaging.imresize import imresize_float
from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.models import build
from pipeline_src.models.layers import BicubicUpscale
from pipeline_src.models.layers.operators import mirror_pad

SCALES = [2, 3, 4]
every_scale = pytest.mark.parametrize("scale", SCALES)


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.float64)


def as_tensor(hwc: np.ndarray) -> Tensor:
    return torch.tensor(hwc, dtype=torch.float32).permute(2, 0, 1)[None]


def as_image(nchw: Tensor) -> np.ndarray:
    return nchw[0].permute(1, 2, 0).double().numpy()


def test_one_net_of_the_published_size_serves_all_scales() -> None:
    net = build("vdsr", SCALES, {})
    assert parameters(net) == 664_704
    assert [parameters(net.at_scale(scale)) for scale in SCALES] == [664_704] * 3
    assert len(net.state_dict()) == 20
    assert net.description.colour == "Y"


@every_scale
def test_mult_adds_at_720p(scale: int) -> None:
    """With the bicubic upscaling and the colours, 0.03 % of it."""
    assert mult_adds(build("vdsr", SCALES, {}).at_scale(scale), scale) / 1e9 == pytest.approx(612.6, rel=1e-3)


def test_initialisation_is_hes_by_fan_out() -> None:
    torch.manual_seed(0)
    convs = [layer for layer in build("vdsr", [2], {}).body if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [64] * 19 + [1]
    assert not any(conv.bias is not None for conv in convs)
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.1)


@every_scale
@pytest.mark.parametrize(("height", "width"), [(8, 8), (11, 17), (2, 3), (1, 5)])
def test_bicubic_upscaling_is_matlabs_to_the_border(scale: int, height: int, width: int) -> None:
    lr = image(height, width)
    with torch.no_grad():
        assert abs(as_image(BicubicUpscale(scale)(as_tensor(lr))) - imresize_float(lr, scale)).max() < 1e-3


@pytest.mark.parametrize("pad", [0, 2, 5])
def test_mirror_pad_is_numpys_symmetric(pad: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 5))
    expected = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    assert np.array_equal(mirror_pad(torch.tensor(x), pad).numpy(), expected)


def test_mirror_pad_passes_torchs_own_operator_checks() -> None:
    torch.library.opcheck(mirror_pad, (torch.rand(1, 3, 4, 5, requires_grad=True), 2))
    x = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: mirror_pad(x, 2), x)


@every_scale
@torch.no_grad()
def test_without_weights_it_is_bicubic_upscaling(scale: int) -> None:
    net = build("vdsr", SCALES, {}).at_scale(scale).eval()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    lr = image(9, 14)
    expected = imresize_float(lr, scale).clip(0, 255)
    assert abs(as_image(net(as_tensor(lr))) - expected).max() < 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(as_image(net(as_tensor(lr))) - expected).max() < 1e-3


@every_scale
@torch.no_grad()
def test_it_changes_nothing_but_y(scale: int) -> None:
    torch.manual_seed(0)
    net = build("vdsr", SCALES, {"depth": 6}).at_scale(scale)
    lr = image(9, 14)
    bicubic = imresize_float(lr, scale)
    sr = as_image(net(as_tensor(lr)))  # in train mode: not clamped
    chroma = (FROM_RGB[1:] / UNIT).T
    assert abs(sr @ chroma - bicubic @ chroma).max() < 1e-3
    upscaled_y = torch.tensor(rgb_to_y_float(bicubic) / 255, dtype=torch.float32)[None, None]
    residual = 255 * net.body(upscaled_y)[0, 0].double().numpy()
    assert abs(residual).max() > 10
    assert abs(rgb_to_y_float(sr) - rgb_to_y_float(bicubic) - residual).max() < 1e-2


@torch.no_grad()
def test_grey_stays_grey() -> None:
    torch.manual_seed(0)
    net = build("vdsr", SCALES, {"depth": 6}).at_scale(3)
    sr = as_image(net(as_tensor(image(9, 14)[..., :1].repeat(3, axis=2))))
    assert np.ptp(sr, axis=2).max() < 1e-3
    assert np.ptp(sr) > 10
