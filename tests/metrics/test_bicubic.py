"""The bicubic reference; tests/parity holds it to the published table."""

from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import rgb_to_y
from pipeline_src.imaging.images import write_png
from pipeline_src.imaging.imresize import imresize, imresize_float, round_to_uint8
from pipeline_src.metrics.bicubic import print_table, reference_psnr_y
from pipeline_src.metrics.psnr_ssim import psnr

HR = photograph("coffee.png")[50:150, 60:180]


def test_y_goes_down_and_up_again_without_rounding_between() -> None:
    y = rgb_to_y(HR)
    restored = round_to_uint8(imresize_float(imresize_float(y, 1 / 4), 4))
    assert reference_psnr_y(HR, 4) == psnr(y[4:-4, 4:-4], restored[4:-4, 4:-4])
    assert reference_psnr_y(y, 4) == reference_psnr_y(HR, 4)
    rounded = imresize(imresize(y, 1 / 4, "double"), 4, "double")
    assert reference_psnr_y(HR, 4) > psnr(y, rounded, shave=4)
    assert reference_psnr_y(HR, 3) == reference_psnr_y(HR[:99], 3), "cropped to a multiple of the scale"


def test_the_table_has_a_row_per_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "set/a.png", HR)
    write_png(tmp_path / "set/b.png", np.ascontiguousarray(HR[::-1]))
    print_table([tmp_path / "set"])
    lines = capsys.readouterr().out.splitlines()
    mean = (reference_psnr_y(HR, 2) + reference_psnr_y(HR[::-1], 2)) / 2
    assert lines[0] == "| folder | images | ×2 | ×3 | ×4 |"
    assert lines[2].startswith(f"| {tmp_path}/set | 2 | {mean:.2f} |")
    with pytest.raises(UserError, match="has no images; name the folder with the HR images"):
        print_table([tmp_path])
