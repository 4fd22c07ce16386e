"""Figures of LR images: aliasing, tone shift, and quality after JPEG."""

import numpy as np
import pytest
from shared import photograph

from pipeline_src.imaging.imresize import imresize, modcrop
from pipeline_src.metrics.downscaled import JPEG_QUALITIES, RoundTrip, band_limited, fidelity, jpeg_curve
from pipeline_src.metrics.protocol import EvaluationImage

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
    assert bicubic.psnr_y == float("inf")
    assert bicubic.ssim_y == pytest.approx(1)
    assert 0 < bicubic.aliasing < 0.6 * dropped.aliasing
    brighter = fidelity(IMAGE, (IMAGE.lr.clip(0, 245) + 10).astype(np.uint8))
    assert brighter.tone_shift - bicubic.tone_shift == pytest.approx(10 * 219 / 255, abs=0.2)
    assert dropped.png_bytes > bicubic.png_bytes


def test_an_lr_image_smaller_than_the_window_has_no_ssim() -> None:
    small = EvaluationImage("small", HR[:40, :40], imresize(HR[:40, :40], 1 / 4), 4)
    figures = fidelity(small, small.lr)
    assert np.isnan(figures.ssim_y)
    assert figures.aliasing > 0


def test_more_quality_is_more_bytes_and_more_psnr() -> None:
    rows = list(jpeg_curve(IMAGE, RoundTrip(IMAGE.lr, lambda lr: imresize(lr, 4))))
    assert [row.quality for row in rows] == list(JPEG_QUALITIES)
    for key in ("bytes", "psnr_y"):
        values = [getattr(row, key) for row in rows]
        assert values == sorted(values)
    grey = EvaluationImage("grey", HR[..., 0], IMAGE.lr[..., 0], 4)
    round_trip = RoundTrip(np.stack([grey.lr] * 3, axis=-1), lambda lr: imresize(lr, 4))
    assert next(jpeg_curve(grey, round_trip)).psnr_y > 20
