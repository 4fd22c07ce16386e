"""What is said of LR images: aliasing, tone, and what JPEG leaves."""

import numpy as np
import pytest
from shared import photograph

from pipeline_src.data.imresize import imresize, modcrop
from pipeline_src.evaluation.downscaled import QUALITIES, band_limited, fidelity, jpeg_curve
from pipeline_src.evaluation.images import EvaluationImage

HR = modcrop(photograph("chelsea.png")[:120, :180], 4)
IMAGE = EvaluationImage("chelsea", HR, imresize(HR, 1 / 4), 4)


def wave(length: int, cycles: float) -> np.ndarray:
    return np.cos(np.pi * cycles * (np.arange(length) + 0.5) / length)


def test_low_frequencies_stay_and_high_ones_go() -> None:
    low = 100 + 20 * wave(48, 3)[:, None] * wave(64, 5)
    assert band_limited(low, 4) == pytest.approx(100 + 20 * wave(12, 3)[:, None] * wave(16, 5))
    high = low + 30 * wave(48, 20)[:, None] * wave(64, 5)
    assert band_limited(high, 4) == pytest.approx(band_limited(low, 4))


def test_bicubic_is_nearer_to_the_ideal_than_every_fourth_pixel_and_a_shift_is_seen() -> None:
    bicubic, dropped = fidelity(IMAGE, IMAGE.lr), fidelity(IMAGE, HR[1::4, 1::4])
    assert bicubic["psnr_y"] == float("inf")
    assert bicubic["ssim_y"] == pytest.approx(1)
    assert 0 < bicubic["aliasing"] < 0.6 * dropped["aliasing"]
    brighter = fidelity(IMAGE, (IMAGE.lr.clip(0, 245) + 10).astype(np.uint8))
    assert brighter["tone_shift"] - bicubic["tone_shift"] == pytest.approx(10 * 219 / 255, abs=0.2)
    assert dropped["png_bytes"] > bicubic["png_bytes"]


def test_an_lr_image_smaller_than_the_window_has_no_ssim() -> None:
    small = EvaluationImage("small", HR[:40, :40], imresize(HR[:40, :40], 1 / 4), 4)
    found = fidelity(small, small.lr)
    assert np.isnan(found["ssim_y"])
    assert found["aliasing"] > 0


def test_more_quality_is_more_bytes_and_more_psnr() -> None:
    rows = list(jpeg_curve(IMAGE, {"bicubic": (IMAGE.lr, lambda lr: imresize(lr, 4))}))
    assert [row["quality"] for row in rows] == list(QUALITIES)
    for key in ("bytes", "psnr_y"):
        values = [row[key] for row in rows]
        assert values == sorted(values)
    grey = EvaluationImage("grey", HR[..., 0], IMAGE.lr[..., 0], 4)
    ways = {"bicubic": (np.stack([grey.lr] * 3, axis=-1), lambda lr: imresize(lr, 4))}
    assert next(jpeg_curve(grey, ways))["psnr_y"] > 20
