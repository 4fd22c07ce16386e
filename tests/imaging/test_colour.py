"""Colour conversions, compared with values of the standard and with scikit-image's independent implementation."""

import numpy as np
import pytest
from skimage.color import rgb2ycbcr, ycbcr2rgb

from pipeline_src.imaging.colour import rgb_to_y, rgb_to_y_float, rgb_to_ycbcr, ycbcr_to_rgb

# BT.601, studio range: the corners of the RGB cube
CORNERS = {
    (0, 0, 0): (16, 128, 128),
    (255, 255, 255): (235, 128, 128),
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
}


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def test_the_corners_of_the_rgb_cube_have_the_values_of_the_standard():
    rgb = np.array([list(CORNERS)], np.uint8)
    assert rgb_to_ycbcr(rgb).tolist() == [[list(ycbcr) for ycbcr in CORNERS.values()]]


def test_8_bit_planes_are_the_rounded_floats():
    rgb = noise((64, 80, 3))
    floats = rgb2ycbcr(rgb)
    assert rgb_to_ycbcr(rgb).dtype == np.uint8
    np.testing.assert_array_equal(rgb_to_ycbcr(rgb), np.floor(floats + 0.5))
    np.testing.assert_array_equal(rgb_to_y(rgb), rgb_to_ycbcr(rgb)[..., 0])
    np.testing.assert_allclose(rgb_to_y_float(rgb), floats[..., 0], atol=1e-10)


def test_converting_to_ycbcr_and_back_restores_rgb_to_within_2_levels():
    rgb = noise((64, 80, 3))
    floats = rgb2ycbcr(rgb)
    np.testing.assert_array_equal(ycbcr_to_rgb(floats), rgb)
    # the studio range has fewer levels than 0..255, so 8-bit planes cannot restore every colour exactly
    assert np.abs(ycbcr_to_rgb(rgb_to_ycbcr(rgb)).astype(int) - rgb).max() <= 2


def test_colours_out_of_range_are_clipped():
    ycbcr = noise((32, 32, 3))
    expected = np.clip(np.floor(255 * ycbcr2rgb(ycbcr.astype(float)) + 0.5), 0, 255)
    assert (expected == 0).any()
    assert (expected == 255).any()
    np.testing.assert_array_equal(ycbcr_to_rgb(ycbcr), expected)


def test_arrays_that_are_not_rgb_images_are_refused():
    for image in (noise((4, 4)), noise((4, 4, 4)), noise((4, 4, 3)).astype(np.float32)):
        with pytest.raises(ValueError, match="uint8 H×W×3"):
            rgb_to_y(image)
