"""Evaluation images: HR and LR by the protocol, errors, and the crop that shows an image."""

from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.images import write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.protocol import EvaluationImage, load_evaluation_image, match_channels


def test_hr_is_cropped_to_a_multiple_of_the_scale_and_lr_is_bicubic(tmp_path: Path) -> None:
    pixels = photograph("coffee.png")[:50, :64]
    write_png(tmp_path / "cup.png", pixels)
    image = load_evaluation_image(tmp_path / "cup.png", 3, threads=1)
    assert (image.name, image.scale) == ("cup", 3)
    assert np.array_equal(image.hr, pixels[:48, :63])
    assert np.array_equal(image.lr, imresize(pixels[:48, :63], 1 / 3))
    assert np.array_equal(image.bicubic(1), imresize(image.lr, 3))


def test_an_image_too_small_for_ssim_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "dot.png", photograph("coffee.png")[:18, :40])
    with pytest.raises(UserError, match=r"dot\.png is 40×16 pixels; SSIM at ×4 needs 19 each way: remove it"):
        load_evaluation_image(tmp_path / "dot.png", 4, threads=1)


def test_sr_of_a_grey_image_is_the_rounded_mean_of_its_channels() -> None:
    sr = np.array([[[10, 11, 11], [0, 0, 1]]], np.uint8)
    assert match_channels(sr, np.zeros((1, 2), np.uint8)).tolist() == [[11, 0]]
    assert match_channels(sr, np.zeros((1, 2, 3), np.uint8)) is sr


@pytest.mark.parametrize("grey", [False, True])
def test_the_crop_is_where_the_detail_is(grey: bool) -> None:
    hr = np.full((90, 120, 3), 128, np.uint8)
    hr[60:75, 30:54] = np.random.default_rng(1).integers(0, 255, (15, 24, 3))
    image = EvaluationImage("x", hr[..., 0] if grey else hr, hr[::3, ::3], 3)
    rows, columns = image.crop(8)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (24, 24)
    assert rows.start <= 60 < 75 <= rows.stop
    assert columns.start in (27, 30, 33)


def test_the_crop_of_an_image_smaller_than_the_crop_is_the_image() -> None:
    hr = np.random.default_rng(1).integers(0, 255, (30, 42, 3), np.uint8)
    assert EvaluationImage("x", hr, hr[::3, ::3], 3).crop(96) == (slice(0, 30), slice(0, 42))
