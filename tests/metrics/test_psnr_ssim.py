"""The protocol's figures against scikit-image's, against the definition, and against values worked out by hand."""

import math

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import rgb_to_y
from pipeline_src.imaging.imresize import imresize, modcrop
from pipeline_src.metrics.psnr_ssim import luma, psnr, quality, ssim


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A photograph and its bicubic ×3, 264×300×3."""
    hr = modcrop(data.astronaut()[40:305, 100:402], 3)
    return hr, imresize(imresize(hr, 1 / 3), 3)


def reference_ssim(hr: np.ndarray, sr: np.ndarray) -> float:
    """SSIM of one channel by scikit-image, where the window lies inside the image."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "full": True}
    _, similarity = structural_similarity(hr, sr, **options)
    return float(similarity[5:-5, 5:-5].mean())


def test_ssim_by_its_definition_window_by_window():
    rng = np.random.default_rng(1)
    hr, sr = (rng.integers(0, 256, (13, 15), np.uint8) for _ in range(2))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for y in range(13 - 10):
        for x in range(15 - 10):
            a, b = hr[y : y + 11, x : x + 11].astype(float), sr[y : y + 11, x : x + 11].astype(float)
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            values.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    assert ssim(hr, sr) == pytest.approx(np.mean(values), abs=1e-12)


def test_ssim_of_a_photograph_is_that_of_scikit_image(pair):
    hr, sr = pair
    channels = [reference_ssim(hr[..., c], sr[..., c]) for c in range(3)]
    assert ssim(hr[..., 1], sr[..., 1]) == pytest.approx(channels[1], abs=1e-10)
    assert ssim(hr, sr) == pytest.approx(np.mean(channels), abs=1e-10)
    assert ssim(hr.astype(float), sr.astype(float)) == pytest.approx(np.mean(channels), abs=1e-10)


def test_ssim_of_an_image_wider_than_one_strip():
    rng = np.random.default_rng(2)
    hr = np.tile(data.camera()[100:130], (1, 5))  # 30×2560
    sr = np.clip(hr + rng.integers(-30, 30, hr.shape), 0, 255).astype(np.uint8)
    assert ssim(hr, sr) == pytest.approx(reference_ssim(hr, sr), abs=1e-10)


def test_threads_do_not_change_the_figure(pair):
    assert ssim(*pair, threads=3) == ssim(*pair)
    assert psnr(*pair, threads=3) == psnr(*pair)
    assert (luma(pair[0], threads=3) == luma(pair[0])).all()


def test_compiled_luma_is_that_of_the_colour_conversion(pair):
    every = np.arange(256, dtype=np.uint8)
    cube = np.stack(np.meshgrid(every, every[::5], every[::3], indexing="ij"), axis=-1).reshape(256, -1, 3)
    for rgb in (cube, pair[0], pair[0][3:-3, 3:-3], pair[0][::2, ::-1]):
        assert (luma(rgb) == rgb_to_y(rgb)).all()


def test_quality_follows_the_protocol(pair):
    hr, sr = pair
    inside = np.s_[3:-3, 3:-3]
    y = rgb_to_y(hr)[inside], rgb_to_y(sr)[inside]
    figures = quality(hr, sr, 3)
    assert figures.psnr_y == pytest.approx(peak_signal_noise_ratio(*y, data_range=255), abs=1e-10)
    assert figures.ssim_y == pytest.approx(reference_ssim(*y), abs=1e-10)
    assert figures.psnr_rgb == pytest.approx(peak_signal_noise_ratio(hr[inside], sr[inside], data_range=255), abs=1e-10)
    assert figures.ssim_rgb == ssim(hr[inside], sr[inside])
    assert quality(hr, sr, 3, shave=1).psnr_rgb == psnr(hr[1:-1, 1:-1], sr[1:-1, 1:-1])
    assert quality(hr, sr, 3, threads=2) == figures


def test_a_grey_image_is_used_as_it_is(pair):
    hr, sr = (image[..., 1] for image in pair)
    figures = quality(hr, sr, 3)
    assert figures.psnr_y == figures.psnr_rgb == psnr(hr, sr, shave=3)
    assert figures.ssim_y == figures.ssim_rgb == ssim(hr, sr, shave=3)


def test_psnr_by_hand():
    hr = np.full((10, 10, 3), 100, np.uint8)
    sr = hr.copy()
    sr[..., 0] = 103  # MSE 9/3
    assert psnr(hr, sr) == pytest.approx(10 * math.log10(255**2 / 3))
    assert psnr(hr.astype(float), sr.astype(float)) == pytest.approx(psnr(hr, sr))
    black, white = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert psnr(black, white) == psnr(white, black) == 0


def test_what_is_shaved_off_does_not_count(pair):
    hr, sr = pair
    spoiled = sr.copy()
    spoiled[:3], spoiled[-3:], spoiled[:, :3], spoiled[:, -3:] = 0, 255, 0, 255
    assert quality(hr, spoiled, 3) == quality(hr, sr, 3)
    spoiled[3, 3] = 255 - spoiled[3, 3]
    assert quality(hr, spoiled, 3).psnr_y < quality(hr, sr, 3).psnr_y


def test_identical_images_have_infinite_psnr(pair):
    figures = quality(pair[0], pair[0], 3)
    assert figures.psnr_y == figures.psnr_rgb == math.inf
    assert figures.ssim_y == pytest.approx(1, abs=1e-12)
    assert figures.ssim_rgb == pytest.approx(1, abs=1e-12)


def test_an_image_without_room_for_the_window_is_one_sentence():
    image = np.zeros((16, 40, 3), np.uint8)
    with pytest.raises(UserError, match="34×10 pixels inside the border"):
        quality(image, image, 3)
    assert quality(image, image, 2).ssim_rgb == 1


def test_images_that_cannot_be_compared_are_refused(pair):
    hr, sr = pair
    with pytest.raises(ValueError, match="one size and type"):
        quality(hr, sr[:-1], 3)
    with pytest.raises(ValueError, match="one size and type"):
        psnr(hr, sr.astype(float))
    with pytest.raises(ValueError, match="uint8"):
        quality(hr / 255, sr / 255, 3)
    with pytest.raises(ValueError, match="H×W×3"):
        luma(np.dstack([hr, hr[..., :1]]))
