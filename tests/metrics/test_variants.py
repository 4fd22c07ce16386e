"""Figures by the protocol and by its variants."""

import numpy as np
import pytest
from shared import photograph

from pipeline_src.imaging.colour import rgb_to_y, rgb_to_y_float
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.psnr_ssim import psnr, quality, ssim
from pipeline_src.metrics.variants import PROTOCOL, VARIANTS, figures

HR = photograph("chelsea.png")[60:180, 100:220]


def blurred(hr: np.ndarray, shift: float = 0.4) -> np.ndarray:
    """Return values that are no whole numbers."""
    return (imresize(imresize(hr, 0.5), 2).astype(np.float32) + np.float32(shift)).clip(0, 255)


def test_every_figure_has_a_title() -> None:
    assert [*figures(HR, blurred(HR), 2)] == [*PROTOCOL, *VARIANTS]


def test_the_protocol_rounds_and_each_variant_differs_in_one_thing() -> None:
    values = blurred(HR)
    row, sr = figures(HR, values, 2), np.rint(values).astype(np.uint8)
    protocol = quality(HR, sr, 2)
    assert [row[key] for key in PROTOCOL] == [protocol.psnr_y, protocol.ssim_y, protocol.psnr_rgb, protocol.ssim_rgb]
    y, sr_y = rgb_to_y(HR), rgb_to_y(sr)
    assert row["psnr_y_not_rounded"] == psnr(rgb_to_y_float(HR), rgb_to_y_float(sr), 2)
    assert row["ssim_y_not_rounded"] == ssim(rgb_to_y_float(HR), rgb_to_y_float(sr), 2)
    assert [row[f"psnr_y_shave{shave}"] for shave in (0, 1)] == [psnr(y, sr_y, shave) for shave in (0, 1)]
    assert [row[f"psnr_rgb_shave{shave}"] for shave in (0, 1)] == [psnr(HR, sr, shave) for shave in (0, 1)]
    assert row["psnr_y_truncated"] == psnr(y, rgb_to_y(np.floor(values).astype(np.uint8)), 2)
    assert row["psnr_y_grey_as_rgb"] == row["psnr_y"]
    values = blurred(HR, 0.6)  # rounded up, and truncated down
    row = figures(HR, values, 2)
    assert row["psnr_y_truncated"] != pytest.approx(row["psnr_y"], abs=1e-6)


def test_a_grey_image_is_its_own_luma() -> None:
    grey = rgb_to_y(HR)
    values = np.stack([blurred(grey)] * 3, axis=-1)
    row, sr = figures(grey, values, 2), np.rint(values[..., 0]).astype(np.uint8)
    assert row["psnr_y"] == row["psnr_rgb"] == psnr(grey, sr, 2)
    assert row["psnr_y_not_rounded"] == pytest.approx(row["psnr_y"])
    assert row["psnr_y_grey_as_rgb"] > row["psnr_y"] + 1  # 219 levels instead of 255: 1.3 dB
