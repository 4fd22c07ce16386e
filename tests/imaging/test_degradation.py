"""LR images with the faults of photographs."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from shared import photograph

from pipeline_src.config import Degradation
from pipeline_src.imaging import degradation
from pipeline_src.imaging.degradation import degrade, degraded_patch, of_scales
from pipeline_src.imaging.images import through_jpeg

NOTHING = {"blur": 0.0, "noise": 0.0, "jpeg": 0.0}
PHOTOGRAPH = photograph("coffee.png")[:201, :302]


def spec(*passes: dict[str, Any]) -> Degradation:
    return Degradation.model_validate({"passes": [NOTHING | one for one in passes]})


def random(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_faults_an_image_is_only_smaller() -> None:
    for scale in (2, 3, 4):
        lr = degrade(PHOTOGRAPH, scale, spec({}), random())
        assert lr.shape == (201 // scale, 302 // scale, 3)
        means = PHOTOGRAPH[: lr.shape[0] * scale, : lr.shape[1] * scale].reshape(lr.shape[0], scale, -1, scale, 3)
        assert np.abs(lr - means.mean(axis=(1, 3))).mean() < 6
    assert degrade(PHOTOGRAPH[..., 0], 4, spec({}), random()).shape == (50, 75)


def test_a_pass_that_happens_to_no_image_changes_none() -> None:
    never = spec({"probability": 0.0, "noise": 1.0}, {})
    assert np.array_equal(degrade(PHOTOGRAPH, 1, never, random()), PHOTOGRAPH)


@pytest.mark.parametrize("sigmas", [(1.5, 1.5), (3.0, 0.8)], ids=["round", "turned"])
def test_blur_is_that_of_a_gaussian(sigmas: tuple[float, float]) -> None:
    first, second = sigmas
    round_kernel = first == second
    kernel = degradation._gaussian(first) if round_kernel else degradation._turned_gaussian(first, second, 0.6)
    reach = len(kernel[0][0]) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(0.6) + y * np.sin(0.6), y * np.cos(0.6) - x * np.sin(0.6)
    exact = np.exp(-((along / first) ** 2 + (across / second) ** 2) / 2)
    expected = ndimage.convolve(PHOTOGRAPH.astype(float), (exact / exact.sum())[..., None], mode="nearest")
    blurred = degradation._filtered(PHOTOGRAPH, kernel)
    assert np.abs(blurred - expected).max() <= (1 if round_kernel else 4)
    assert np.abs(blurred - expected).mean() < 0.5


def test_a_sinc_cuts_frequencies_off_and_rings() -> None:
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 128
    step += 64
    rings = degradation._filtered(step, degradation._sinc(0.5))[32, :, 0].astype(int)
    assert rings.min() < 64 - 4
    assert rings.max() > 192 + 4
    waves = (128 + 100 * np.cos(np.pi * 0.9 * np.arange(64)))[None, :, None] * np.ones((64, 1, 3))
    assert degradation._filtered(waves.astype(np.uint8), degradation._sinc(0.5))[32, 16:48].std() < 3


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_gaussian_noise_has_its_strength(grey: float) -> None:
    flat = np.full((200, 200, 3), 120, np.uint8)
    noisy = degrade(flat, 1, spec({"noise": 1.0, "poisson": 0.0, "gaussian": [9.0, 9.0], "grey": grey}), random())
    assert noisy.std() == pytest.approx(9, rel=0.05)
    assert np.array_equal(noisy[..., 0], noisy[..., 1]) == bool(grey)


def test_noise_of_light_grows_with_the_light() -> None:
    photons = {"noise": 1.0, "poisson": 1.0, "photons": [400.0, 400.0], "grey": 0.0}
    for level in (40, 160):
        noisy = degrade(np.full((200, 200, 3), level, np.uint8), 1, spec(photons), random())
        assert noisy.mean() == pytest.approx(level, rel=0.01)
        assert noisy.std() == pytest.approx((level * 255 / 400) ** 0.5, rel=0.05)


def test_jpeg_is_the_last_thing_of_a_pass() -> None:
    compressed = degrade(PHOTOGRAPH, 1, spec({"jpeg": 1.0, "quality": [30, 30]}), random())
    assert np.array_equal(compressed, through_jpeg(PHOTOGRAPH, 30))


def test_the_size_between_two_passes_is_drawn() -> None:
    twice = degrade(PHOTOGRAPH, 4, spec({"size": [2.0, 2.0], "jpeg": 1.0, "quality": [20, 20]}, {}), random())
    once = degrade(PHOTOGRAPH, 4, spec({"jpeg": 1.0, "quality": [20, 20]}, {}), random())
    clean = degrade(PHOTOGRAPH, 4, spec({}, {}), random())
    assert twice.shape == once.shape
    assert np.abs(twice - clean.astype(int)).mean() < np.abs(once - clean.astype(int)).mean()


def test_one_seed_makes_one_image() -> None:
    default = Degradation()
    same = [degrade(PHOTOGRAPH, 3, default, random(5)) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], degrade(PHOTOGRAPH, 3, default, random(6)))
    images = of_scales(PHOTOGRAPH, [2, 4], default, 1, "a.png")
    assert np.array_equal(images[4], of_scales(PHOTOGRAPH, [4], default, 1, "a.png")[4]), "whatever other scales"
    for seed, name in ((2, "a.png"), (1, "b.png")):
        assert not np.array_equal(images[4], of_scales(PHOTOGRAPH, [4], default, seed, name)[4])


@pytest.mark.parametrize("corner", [(0, 0), (13, 20), (34, 59)], ids=["corner", "middle", "end"])
def test_a_patch_is_the_part_of_the_whole_image_that_it_covers(corner: tuple[int, int]) -> None:
    blurred = spec({"blur": 1.0, "sinc": 0.0, "anisotropic": 0.0, "sigma": [0.4, 0.4]})
    whole = degrade(PHOTOGRAPH, 4, blurred, random())
    patch = degraded_patch(PHOTOGRAPH, 4, corner, (16, 16), blurred, random())
    y, x = corner
    assert patch.shape == (16, 16, 3)
    assert np.abs(patch - whole[y : y + 16, x : x + 16].astype(int)).max() <= 1


def test_the_faults_of_the_web_keep_what_is_in_an_image() -> None:
    """The figures are those of a photograph that is recognised at a glance: 20 to 40 dB from the clean LR image."""
    clean = degrade(PHOTOGRAPH, 4, spec({}), random()).astype(float)
    errors = [((degrade(PHOTOGRAPH, 4, Degradation(), random(seed)) - clean) ** 2).mean() for seed in range(40)]
    psnr = 10 * np.log10(255**2 / np.array(errors))
    assert 18 < psnr.min() < psnr.max() < 45
    assert psnr.max() - psnr.min() > 6, "they differ in strength"
