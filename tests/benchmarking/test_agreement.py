"""Comparison of exported files with their reference images."""

import logging
from pathlib import Path

import numpy as np
import pytest
from exported import SIZE, export
from PIL import Image

from pipeline_src.benchmarking import agreement
from pipeline_src.benchmarking.agreement import agreement_row
from pipeline_src.benchmarking.keys import Row
from pipeline_src.deployment import cards, runtimes
from pipeline_src.deployment.cards import Card


def agreement_rows(files: dict[Path, Card]) -> list[Row]:
    any_size = [file for file, card in files.items() if not card.size]
    return [agreement_row(file, runtimes.load(file, 1), files, 1) for file in any_size]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages of this project, without those of torch."""
    records = [record for record in caplog.records if record.name == agreement.__name__]
    assert all(record.levelno == logging.WARNING for record in records)
    return [record.getMessage() for record in records]


def test_each_file_is_compared_with_its_reference_image_and_a_difference_causes_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export("abpn", tmp_path, SIZE)
    rows = {(row["variant"], row["runtime"]): row for row in agreement_rows(cards.read_folder(tmp_path))}
    assert set(rows) == {
        *((variant, runtime) for variant in ("fp32", "ptq") for runtime in ("onnx", "openvino", "tflite")),
        ("fp32", "openvino_fp16"),
    }
    for row in rows.values():
        assert row["off_levels"] <= 3
        assert row["off_share"] < 0.001
        assert row["off_psnr"] > 50
        assert row["disagrees"] == ""
    assert not warnings(caplog)

    expected = tmp_path / cards.read(tmp_path / "ptq_x3.onnx").reference
    wrong = np.asarray(Image.open(expected)).copy()
    wrong[:20] = 255 - wrong[:20]
    Image.fromarray(wrong).save(expected)
    different = [row for row in agreement_rows(cards.read_folder(tmp_path)) if row["disagrees"]]
    assert [(row["variant"], row["runtime"]) for row in different] == [
        ("ptq", "onnx"),
        ("ptq", "tflite"),
        ("ptq", "openvino"),
    ]
    assert different[0]["disagrees"].startswith("gives another image here than at export: up to 255 levels off, 9.")
    assert warnings(caplog)[0].startswith("small ptq onnx 3 gives another image here")


def test_a_file_of_fixed_size_that_differs_from_the_one_of_any_size_disagrees(tmp_path: Path) -> None:
    """The file of fixed size is that of another net with the same size and scale."""
    for name in ("abpn", "vdsr"):
        (tmp_path / name).mkdir()
        export(name, tmp_path / name, SIZE)
    for suffix in ("", ".json"):
        fixed = f"ptq_x3_24x40.tflite{suffix}"
        (tmp_path / "vdsr" / fixed).replace(tmp_path / "abpn" / fixed)
    rows = agreement_rows(cards.read_folder(tmp_path / "abpn"))
    assert [(row["variant"], row["runtime"]) for row in rows if row["disagrees"]] == [("ptq", "tflite")]
