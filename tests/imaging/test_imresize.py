"""imresize, compared with MATLAB's images, a plain NumPy version, and values calculated by hand."""

import multiprocessing
import os
import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline_src.errors import UserError
from pipeline_src.imaging.images import list_images, read_image
from pipeline_src.imaging.imresize import imresize, imresize_float, modcrop, round_to_uint8, taps_and_weights

ROOT = Path(__file__).parents[2]
VECTORS = Path(__file__).parent / "vectors"
MATLAB = [("LR_matlab", "uint8", name, scale) for name in ("Set5", "Set14", "BSD100") for scale in (2, 3, 4)]
MATLAB += [("LR_matlab_double", "double", "Set14", 4)]
plain_imresize = runpy.run_path(str(ROOT / "benchmarks/imresize.py"))["plain_imresize"]


@pytest.mark.parametrize(("folder", "matlab", "name", "scale"), MATLAB)
def test_every_pixel_equals_matlab(folder, matlab, name, scale):
    mirror = os.environ.get("SR_DATA_MIRROR")
    if not mirror:
        pytest.skip("SR_DATA_MIRROR is not set: it names the folder of image sets with MATLAB's own LR images")
    made_by_matlab = Path(mirror) / name / folder / f"X{scale}"
    if not made_by_matlab.is_dir():
        pytest.skip(f"there is no {made_by_matlab}")
    hr = {file.stem: file for file in list_images(Path(mirror) / name / "HR")}
    files = list_images(made_by_matlab)
    assert files
    for file in files:
        image = modcrop(read_image(hr[file.stem]), scale)
        np.testing.assert_array_equal(imresize(image, 1 / scale, matlab, threads=2), read_image(file), file.name)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "text"])
def test_every_pixel_equals_the_stored_vectors(name):
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as vectors:
        resized = [key for key in vectors if key != "hr"]
        assert len(resized) == 10
        for key in resized:
            matlab, scale = key.split()
            np.testing.assert_array_equal(imresize(vectors["hr"], Fraction(scale), matlab), vectors[key], key)


@pytest.mark.parametrize("matlab", ["uint8", "double"])
@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.7, 1, 1.3, 2, 3, 4, 1 / 8])
@pytest.mark.parametrize("shape", [(37, 53, 3), (70, 5), (9, 40, 4), (1, 1, 3)])
def test_every_pixel_equals_the_plain_version_at_any_scale_and_size(shape, scale, matlab):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    resized = imresize(image, scale, matlab)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, plain_imresize(image, scale, matlab))


def test_weights_for_one_half_equal_those_calculated_by_hand():
    # cubic(x)/2 at x = ±1/8·(1, 3, 5, 7)·2, that is 0.25, 0.75, 1.25, 1.75
    _, weights = taps_and_weights(16, 0.5, "uint8")
    np.testing.assert_array_equal(weights[3] * 256, [-3, -9, 29, 111, 111, 29, -9, -3])


def row(**pixels: int) -> np.ndarray:
    """Return a row of 16 pixels of value 100, except those given as x<position>."""
    image = np.full((1, 16), 100, np.uint8)
    for position, value in pixels.items():
        image[0, int(position[1:])] = value
    return image


def test_a_single_bright_pixel_becomes_the_kernel():
    # 100 + 64·(-3, 29, 111, -9)/256 = 99.25, 107.25, 127.75, 97.75
    assert imresize(row(x8=164), 0.5).tolist() == [[100, 100, 99, 107, 128, 98, 100, 100]]


def test_halves_are_rounded_away_from_zero_and_negative_values_are_clipped():
    dark = row(x8=228) - 100
    # 128·(-3, 29, 111, -9)/256 = -1.5, 14.5, 55.5, -4.5; half to even would give 14
    assert imresize(dark, 0.5).tolist() == [[0, 0, 0, 15, 56, 0, 0, 0]]
    assert round_to_uint8(np.array([0.5, 1.5, 2.5, -3.0, 254.5, 300.0])).tolist() == [1, 2, 3, 0, 255, 255]


def test_uint8_and_double_differ_at_the_border():
    # the first output takes the pixels -3..4; pixel 1 has the weight 111, and as the mirrored pixel -2 another -9
    image = row(x1=164)
    assert imresize(image, 0.5, "uint8")[0, 0] == 128  # 100 + 64·111/256 = 127.75
    assert imresize(image, 0.5, "double")[0, 0] == 126  # 100 + 64·102/256 = 125.5


def test_uint8_rounds_between_the_passes_and_double_does_not():
    image = np.full((16, 16), 100, np.uint8)
    image[8, 8] = 112
    # rows: 100 + 12·29/256 = 101.36, rounded to 101 as uint8;
    # columns: 100 + 1·111/256 = 100.43 as uint8, 100 + 1.36·111/256 = 100.59 as double
    assert imresize(image, 0.5, "uint8")[3, 4] == 100
    assert imresize(image, 0.5, "double")[3, 4] == 101


def test_a_uniform_image_does_not_change():
    for scale in (1 / 3, 0.7, 3):
        assert (imresize(np.full((12, 15, 3), 77, np.uint8), scale) == 77).all()


def test_the_number_of_threads_changes_no_pixel():
    image = np.random.default_rng(2).integers(0, 256, (150, 90, 3), np.uint8)
    one = imresize(image, 1 / 3)
    for threads in (2, 3, 64):
        np.testing.assert_array_equal(imresize(image, 1 / 3, threads=threads), one)


def test_a_forked_process_can_resize():
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    here = imresize(image, 1 / 2, threads=2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply_async(imresize, (image, 1 / 2, "uint8", 2)).get(timeout=60)
    np.testing.assert_array_equal(there, here)


def test_views_are_resized_like_their_copies():
    image = np.random.default_rng(4).integers(0, 256, (50, 60, 4), np.uint8)
    view = image[::-1, 3:51, :3]
    np.testing.assert_array_equal(imresize(view, 1 / 4), imresize(view.copy(), 1 / 4))


def test_floats_are_neither_rounded_nor_clipped():
    image = np.random.default_rng(5).integers(0, 256, (24, 30), np.uint8)
    resized = imresize_float(image, 1 / 2)
    assert resized.dtype == np.float64
    np.testing.assert_array_equal(round_to_uint8(resized), imresize(image, 1 / 2, "double"))
    dark = imresize_float(row(x8=228) - 100, 0.5)
    assert dark[0, 2:6].tolist() == [-1.5, 14.5, 55.5, -4.5]
    np.testing.assert_allclose(imresize_float(image / 255.0, 1 / 2) * 255, resized, atol=1e-12)


def test_a_fraction_gives_the_exact_size():
    image = np.zeros((10, 10), np.uint8)
    assert imresize(image, Fraction(11, 10)).shape == (11, 11)
    assert imresize(np.zeros((7, 9), np.uint8), Fraction(1, 3)).shape == (3, 3)


def test_modcrop_keeps_the_top_left():
    hr = np.arange(7 * 11).reshape(7, 11)
    np.testing.assert_array_equal(modcrop(hr, 3), hr[:6, :9])
    assert modcrop(np.zeros((8, 12, 3)), 4).shape == (8, 12, 3)
    with pytest.raises(UserError, match="11×2 pixels is smaller than its scale ×3"):
        modcrop(np.zeros((2, 11, 3), np.uint8), 3)


def test_arrays_that_are_not_8_bit_images_are_refused():
    with pytest.raises(ValueError, match="takes uint8, not float64"):
        imresize(np.zeros((4, 4)), 2)
    with pytest.raises(ValueError, match="not empty"):
        imresize(np.zeros((0, 4), np.uint8), 2)
    with pytest.raises(ValueError, match="uint8 or double, not 'C'"):
        imresize(np.zeros((4, 4), np.uint8), 2, "C")
    with pytest.raises(ValueError, match="above 0"):
        imresize(np.zeros((4, 4), np.uint8), 0)


def test_importing_imresize_does_not_import_numba():
    modules = "pipeline_src.imaging.imresize, pipeline_src.metrics.psnr_ssim"
    code = f"import sys, {modules}; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
