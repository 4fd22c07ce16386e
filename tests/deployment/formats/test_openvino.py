"""OpenVINO files: the dtype of their weights, and the child process that runs them on trial."""

import sys
from pathlib import Path

import pytest
from exported import assert_close, lr_images
from shared import largest_file

from pipeline_src.deployment import runtimes
from pipeline_src.deployment.formats import openvino
from pipeline_src.exporting import inventory


def test_float_openvino_files_store_32_bits(folder: Path) -> None:
    operators = inventory.operators(folder / "fp32_x3.xml")
    assert {d for op in operators for d in op.activations + op.constants} <= {"float32", "int64"}
    assert sum(op.name == "Convolution" for op in operators) == 5


def test_16_bit_openvino_files_have_half_the_size_and_differ_by_one_level_at_most(folder: Path) -> None:
    full, halves = (folder / f"fp32_x3{name}.bin" for name in ("", "_fp16"))
    assert halves.stat().st_size < 0.55 * full.stat().st_size
    constants = {d for op in inventory.operators(folder / "fp32_x3_fp16.xml") for d in op.constants}
    assert "float16" in constants
    lr = next(lr_images())
    images = (runtimes.load(file.with_suffix(".xml"), 1)(lr) for file in (full, halves))
    assert_close(*images, levels=1, decibels=55)


def test_a_full_disk_is_told_as_that(folder: Path, tmp_path: Path) -> None:
    with largest_file(20_000), pytest.raises(OSError, match="File too large") as full:
        openvino.from_onnx(folder / "fp32_x3.onnx", tmp_path / "net.xml")
    assert full.value.filename == str(tmp_path / "net.xml")


def test_try_out_reports_models_that_openvino_cannot_compile(folder_copy: Path) -> None:
    assert openvino.try_out(list(folder_copy.glob("*.xml"))) == {}
    (folder_copy / "a.xml").write_text("<net/>")
    (folder_copy / "fp32_x3.bin").write_bytes(b"")
    failed = openvino.try_out(list(folder_copy.glob("*.xml")))
    assert list(failed) == [folder_copy / "a.xml", folder_copy / "fp32_x3.xml"]
    assert failed[folder_copy / "a.xml"].startswith("OpenVINO cannot run it: ")


def test_try_out_distinguishes_a_crash_from_an_error_and_continues_with_the_other_files(
    folder_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process that kills itself at one of the files takes the place of a compiler that crashes."""
    child = """
import os, sys
for name in sys.argv[3:]:
    print(name, flush=True)
    if name.endswith("fp32_x3.xml"):
        os.kill(os.getpid(), 11)
    if name.endswith("z.xml"):
        sys.exit("RuntimeError: no z")
"""
    (folder_copy / "child.py").write_text(child)
    (folder_copy / "z.xml").touch()
    monkeypatch.setattr(openvino, "TRIAL", [sys.executable, str(folder_copy / "child.py")])
    assert openvino.try_out(list(folder_copy.glob("*.xml"))) == {
        folder_copy / "fp32_x3.xml": "OpenVINO crashes on it (signal 11)",
        folder_copy / "z.xml": "OpenVINO cannot run it: RuntimeError: no z",
    }
