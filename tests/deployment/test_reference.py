"""The reference image of a file, and its comparison with the image that the file gives."""

import numpy as np
import pytest

from pipeline_src.deployment import reference


def test_compare_measures_the_difference_of_two_images() -> None:
    image = np.full((10, 10, 3), 100, np.uint8)
    same = reference.compare(image, image)
    assert (same.levels, same.within_one, same.psnr, same.agrees) == (0, 1.0, float("inf"), True)
    other = image.copy()
    other[0, 0] = 97, 101, 99
    agreement = reference.compare(other, image)
    assert (agreement.levels, agreement.within_one) == (3, pytest.approx(299 / 300))
    assert agreement.psnr == pytest.approx(10 * np.log10(255**2 / (11 / 300)))
    assert agreement.agrees
    other[0, 0, 0] = 96
    assert not reference.compare(other, image).agrees
    assert not reference.compare(image + np.uint8(2), image).agrees  # 42 dB


def test_the_lr_image_has_the_full_range_and_the_requested_size() -> None:
    image = reference.lr_image()
    assert (image.shape, image.dtype) == ((*reference.SIZE, 3), np.uint8)
    assert (image.min(), image.max()) == (0, 255)
    assert len(np.unique(image)) > 200
    assert reference.lr_image(24, 40).shape == (24, 40, 3)
