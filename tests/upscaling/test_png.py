"""PNG files of 16 bits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_src.upscaling.png import write_wide_png
from pipeline_src.upscaling.wide import wide_samples

SAMPLES = np.random.default_rng(0).integers(0, 65536, (131, 7, 4), dtype=np.uint16)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_every_sample_is_written(tmp_path: Path, channels: int) -> None:
    write_wide_png(tmp_path / "a.png", SAMPLES[..., :channels])
    np.testing.assert_array_equal(wide_samples(tmp_path / "a.png"), SAMPLES[..., :channels])


def test_grey_is_what_pillow_reads_and_metadata_is_what_pillow_writes(tmp_path: Path) -> None:
    write_wide_png(tmp_path / "a.png", SAMPLES[..., :1], dpi=(300, 300), icc_profile=b"profile")
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), SAMPLES[..., 0])
        assert image.info["icc_profile"] == b"profile"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
