"""The convolutional downscaler: it begins as bicubic, takes any size, and its tiles do not show."""

import numpy as np
import pytest
import torch
from shared import photograph
from small_net import downscaler as trained_like

from pipeline_src.downscaling import build, downscale
from pipeline_src.imaging.imresize import imresize


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_untrained_one_is_bicubic(scale: int) -> None:
    photo = photograph("coffee.png")[: 40 * scale, : 50 * scale]
    lr = downscale(build("conv", [scale], {}), photo)
    difference = np.abs(lr.astype(int) - imresize(photo, 1 / scale, "double"))
    assert difference.max() <= 1, "the weights are those of a uint8 image"
    assert difference.mean() < 0.1
    of_uint8 = np.abs(lr.astype(int) - imresize(photo, 1 / scale))[3:-3, 3:-3]  # at the border it repeats pixels
    assert of_uint8.max() <= 2, "MATLAB rounds after each of the two passes"
    assert of_uint8.mean() < 0.25


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_files_hold_computes_the_same_up_to_the_border(scale: int) -> None:
    net = trained_like(scale)
    deployed = net.in_standard_operators()
    hr = torch.from_numpy(photograph("coffee.png")[: 12 * scale, : 9 * scale].copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        lr, sampling = net(hr)
        assert lr.clamp(0, 255).shape == deployed(hr).shape == (1, 3, 12, 9)
        assert (lr.clamp(0, 255) - deployed(hr)).abs().max() < 1e-3
    assert sampling.distance_to_bicubic() > 0.01, "else the convolutions were not tested"


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (64, 65)])
def test_any_size_and_greyscale(size: tuple[int, int]) -> None:
    net = trained_like(4)
    photo = photograph("coffee.png")[: size[0], : size[1]]
    lr = downscale(net, photo)
    assert lr.shape == (-(-size[0] // 4), -(-size[1] // 4), 3)
    assert downscale(net, photo[..., 0]).shape == lr.shape[:2]


def test_tiles_do_not_show() -> None:
    net = trained_like(2)
    photo = photograph("coffee.png")[:333, :402]
    whole = downscale(net, photo)
    net.tile = 80 * net.scale
    tiled = downscale(net, photo)
    assert whole.shape == (167, 201, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert not np.array_equal(whole, imresize(photo, 0.5))


def test_it_has_one_scale() -> None:
    with pytest.raises(ValueError, match="has one scale"):
        build("conv", [2, 4], {})
