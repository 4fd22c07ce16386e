"""Conversions between tensors and images: rounding and layout."""

import numpy as np
import pytest

from pipeline_src.deployment import pixels, rounding, rounding_in_numpy

VALUES = np.array([-3.0, -0.5, 0.49, 0.5, 1.5, 2.5, 254.49, 254.5, 255.5, 300.0, 17.0, 100.51], np.float32)
ROUNDED = np.array([0, 0, 0, 0, 2, 2, 254, 254, 255, 255, 17, 101], np.uint8)


def test_floats_are_clipped_and_rounded_half_to_even() -> None:
    nhwc = VALUES.reshape(1, 2, 2, 3)
    assert np.array_equal(pixels.from_nhwc(nhwc), ROUNDED.reshape(2, 2, 3))
    assert np.array_equal(pixels.from_nchw(np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2))), ROUNDED.reshape(2, 2, 3))


def test_numpy_rounds_as_the_compiled_loops_do() -> None:
    random = np.random.default_rng(0)
    sr = (random.integers(-20, 560, (3, 17, 13)) / 2).astype(np.float32)  # with ties
    for compiled, in_numpy, x, shape in (
        (rounding.round_planar, rounding_in_numpy.round_planar, sr, (17, 13, 3)),
        (rounding.round_interleaved, rounding_in_numpy.round_interleaved, sr.reshape(-1), (sr.size,)),
    ):
        one, other = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
        compiled(x, one)
        in_numpy(x, other)
        assert np.array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_converting_to_a_tensor_and_back_keeps_the_image(dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    conversions = [(pixels.to_nhwc, pixels.from_nhwc), (pixels.to_nchw, pixels.from_nchw)]
    for to_tensor, to_image in conversions[:1] if dtype == "int8" else conversions:
        x = to_tensor(image, dtype)
        assert x.dtype == dtype
        assert x.flags.c_contiguous
        assert np.array_equal(to_image(x), image)
        assert not np.shares_memory(to_image(x), x)


def test_int8_is_the_value_minus_128() -> None:
    image = np.array([[[0, 127, 255]]], np.uint8)
    assert pixels.to_nhwc(image, "int8").tolist() == [[[[-128, -1, 127]]]]
    assert np.array_equal(pixels.from_nhwc(np.array([[[[-128, -1, 127]]]], np.int8)), image)
    turned = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8).transpose(1, 0, 2)
    assert pixels.to_nhwc(turned, "int8").flags.c_contiguous
