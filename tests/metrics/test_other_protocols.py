"""What other protocols add to the bicubic row."""

from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.images import write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.other_protocols import EFFECTS, effects, print_table
from pipeline_src.metrics.protocol import EvaluationImage, load_evaluation_image
from pipeline_src.metrics.psnr_ssim import quality

HR = photograph("coffee.png")[60:180, 100:220]


def evaluated(hr: np.ndarray) -> EvaluationImage:
    return EvaluationImage("photograph", hr, imresize(hr, 1 / 2), 2)


def test_the_first_figure_is_that_of_the_protocol() -> None:
    image = evaluated(HR)
    assert effects(image)[0] == quality(HR, image.bicubic(1), 2).psnr_y


def test_each_deviation_moves_the_figure_as_the_docs_say() -> None:
    _, not_rounded, grey_converted, truncated, double, same = effects(evaluated(HR))
    assert 0 < not_rounded < 0.1
    assert grey_converted == 0
    assert -0.1 < truncated < 0
    assert abs(double) < 0.05
    assert 80 < same < 95


def test_a_grey_image_gains_by_the_narrower_range_of_y() -> None:
    _, not_rounded, grey_converted, *_ = effects(evaluated(HR[..., 1].copy()))
    assert not_rounded == 0
    assert grey_converted == pytest.approx(20 * np.log10(255 / 219), abs=0.1)


def test_the_table_has_a_row_per_folder_and_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "set/a.png", HR)
    print_table([tmp_path / "set"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| folder | scale | {' | '.join(EFFECTS)} |"
    first = effects(load_evaluation_image(tmp_path / "set/a.png", 2, 1))[0]
    assert lines[2].startswith(f"| {tmp_path}/set | ×2 | {first:.2f} |")
    assert len(lines) == 5
    with pytest.raises(UserError, match="has no images; name the folder with the HR images"):
        print_table([tmp_path])
