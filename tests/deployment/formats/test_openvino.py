"""OpenVINO files: their weights, and the child process that tries them out."""

import sys
from pathlib import Path

import pytest
from exported import assert_close, lr_images

from pipeline_src.deployment import inventory, runtimes
from pipeline_src.deployment.formats import openvino


def test_openvino_float_keeps_32_bits(folder: Path) -> None:
    operators = inventory.operators(folder / "fp32_x3.xml")
    assert {d for op in operators for d in op.activations + op.constants} <= {"float32", "int64"}
    assert sum(op.name == "Convolution" for op in operators) == 5


def test_openvino_with_halves_is_half_the_size_and_the_same_image_but_for_a_level(folder: Path) -> None:
    whole, halves = (folder / f"fp32_x3{name}.bin" for name in ("", "_fp16"))
    assert halves.stat().st_size < 0.55 * whole.stat().st_size
    constants = {d for op in inventory.operators(folder / "fp32_x3_fp16.xml") for d in op.constants}
    assert "float16" in constants
    lr = next(lr_images())
    images = (runtimes.load(file.with_suffix(".xml"), 1)(lr) for file in (whole, halves))
    assert_close(*images, levels=1, decibels=55)


def test_a_model_that_openvino_cannot_compile_is_named_by_the_child(apart: Path) -> None:
    assert openvino.try_out(list(apart.glob("*.xml"))) == {}
    (apart / "a.xml").write_text("<net/>")
    (apart / "fp32_x3.bin").write_bytes(b"")
    failed = openvino.try_out(list(apart.glob("*.xml")))
    assert list(failed) == [apart / "a.xml", apart / "fp32_x3.xml"]
    assert failed[apart / "a.xml"].startswith("OpenVINO cannot run it: ")


def test_a_crash_is_told_from_an_error_and_the_other_files_are_tried(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that kills itself at one of the files stands for the compiler that has been seen to."""
    child = """
import os, sys
for name in sys.argv[3:]:
    print(name, flush=True)
    if name.endswith("fp32_x3.xml"):
        os.kill(os.getpid(), 11)
    if name.endswith("z.xml"):
        sys.exit("RuntimeError: no z")
"""
    (apart / "child.py").write_text(child)
    (apart / "z.xml").touch()
    monkeypatch.setattr(openvino, "TRIAL", [sys.executable, str(apart / "child.py")])
    assert openvino.try_out(list(apart.glob("*.xml"))) == {
        apart / "fp32_x3.xml": "OpenVINO crashes on it (signal 11)",
        apart / "z.xml": "OpenVINO cannot run it: RuntimeError: no z",
    }
