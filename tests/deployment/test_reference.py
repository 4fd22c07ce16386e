"""The image that a file should give, and whether what it gives here is that."""

from pathlib import Path

import numpy as np
import pytest
from exported import SIZE, export
from PIL import Image

from pipeline_src.deployment import cards, reference
from pipeline_src.stages.benchmark import _agreement


def test_the_difference_of_two_images() -> None:
    image = np.full((10, 10, 3), 100, np.uint8)
    same = reference.compare(image, image)
    assert (same.levels, same.within_one, same.psnr, same.agrees) == (0, 1.0, float("inf"), True)
    other = image.copy()
    other[0, 0] = 97, 101, 99
    apart = reference.compare(other, image)
    assert (apart.levels, apart.within_one) == (3, pytest.approx(299 / 300))
    assert apart.psnr == pytest.approx(10 * np.log10(255**2 / (11 / 300)))
    assert apart.agrees
    other[0, 0, 0] = 96
    assert not reference.compare(other, image).agrees
    assert not reference.compare(image + np.uint8(2), image).agrees  # 42 dB


def test_the_lr_image_has_both_ends_of_the_range_and_the_size_it_is_asked_for() -> None:
    image = reference.lr_image()
    assert (image.shape, image.dtype) == ((*reference.SIZE, 3), np.uint8)
    assert (image.min(), image.max()) == (0, 255)
    assert len(np.unique(image)) > 200
    assert reference.lr_image(24, 40).shape == (24, 40, 3)


def test_each_file_is_compared_with_the_image_of_torch_and_one_that_differs_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export("abpn", tmp_path, SIZE)
    rows = {(row["variant"], row["runtime"]): row for row in _agreement(cards.of_folder(tmp_path), 1)}
    assert set(rows) == {
        *((variant, runtime) for variant in ("fp32", "ptq") for runtime in ("onnx", "openvino", "tflite")),
        ("fp32", "openvino_fp16"),
    }
    for row in rows.values():
        assert row["off_levels"] <= 3
        assert row["off_share"] < 0.001
        assert row["off_psnr"] > 50
        assert row["disagrees"] == ""
    assert not capsys.readouterr().err

    expected = tmp_path / cards.read(tmp_path / "ptq_x3.onnx").reference
    wrong = np.asarray(Image.open(expected)).copy()
    wrong[:20] = 255 - wrong[:20]
    Image.fromarray(wrong).save(expected)
    told = [row for row in _agreement(cards.of_folder(tmp_path), 1) if row["disagrees"]]
    assert [(row["variant"], row["runtime"]) for row in told] == [
        ("ptq", "onnx"),
        ("ptq", "tflite"),
        ("ptq", "openvino"),
    ]
    assert told[0]["disagrees"].startswith("gives another image here than at export: up to 255 levels off, 9.")
    assert "small ptq onnx 3 gives another image here" in capsys.readouterr().err


def test_a_file_of_fixed_size_that_differs_from_the_one_of_any_size_says_so(tmp_path: Path) -> None:
    """Here it is another net's, of the same size and scale."""
    for name in ("abpn", "vdsr"):
        (tmp_path / name).mkdir()
        export(name, tmp_path / name, SIZE)
    for suffix in ("", ".json"):
        fixed = f"ptq_x3_24x40.tflite{suffix}"
        (tmp_path / "vdsr" / fixed).replace(tmp_path / "abpn" / fixed)
    rows = _agreement(cards.of_folder(tmp_path / "abpn"), 1)
    assert [(row["variant"], row["runtime"]) for row in rows if row["disagrees"]] == [("ptq", "tflite")]
