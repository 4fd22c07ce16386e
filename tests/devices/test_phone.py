"""The stage measure on a phone. There is none here: an adb stands in that replays published transcripts."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline_src.deployment import cards, pixels, reference, runtimes
from pipeline_src.devices.rows import COLUMNS
from pipeline_src.tables import read_rows

HERE = Path(__file__).parent
Make = Callable[..., Path]
Stage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """The folder of the phone, which is attached."""
    folder = tmp_path / "phone"
    (folder / "tmp").mkdir(parents=True)
    (folder / "attached").write_text("SERIAL")
    (folder / "libvendor.so").touch()
    return folder


@pytest.fixture
def folder(workspace: Make, exported: Path, phone: Path) -> Path:
    """A workspace with the device ``phone``, and a system that was exported."""
    delegates = {"cpu": {}, "gpu": {}, "npu": {"library": str(phone / "libvendor.so"), "options": "backend_type:htp"}}
    device = {"adb": "SERIAL", "benchmark_model": str(HERE / "benchmark_model"), "delegates": delegates}
    folder = workspace({"benchmark": {"warmup": 2, "max_seconds": 3.0, "threads": 1}, "devices": {"phone": device}})
    shutil.copytree(exported, folder / "results/export/abpn_x3")
    return folder


def measured(folder: Path, stage: Stage, phone: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{HERE}{os.pathsep}{os.environ['PATH']}"
    return stage(folder, "measure", "phone", PATH=path, PHONE=str(phone), TRANSCRIPTS=str(HERE / "transcripts"))


def test_each_delegate_is_measured_and_compared(folder: Path, stage: Stage, phone: Path) -> None:
    file = folder / "results/export/abpn_x3/fp32_x3.tflite"
    sr = runtimes.load(file, 1)(reference.lr_image(*(cards.read(file.with_name("fp32_x3_24x40.tflite")).size or ())))
    (phone / "sr.bin").write_bytes(pixels.to_nhwc(sr, "float32").tobytes())  # what the float file should give
    done = measured(folder, stage, phone)
    assert done.returncode == 0, done.stderr
    out = folder / "results/benchmark/devices/phone"
    table = read_rows(out / "measure.csv", COLUMNS, "")
    rows: dict[tuple[str, str], dict[str, Any]] = {(row["variant"], row["runtime"]): row for row in table}
    assert [*rows] == [(variant, f"tflite{of}") for variant in ("fp32", "ptq") for of in ("", "_gpu", "_npu")]
    cpu, gpu, npu = (rows["fp32", f"tflite{of}"] for of in ("", "_gpu", "_npu"))
    assert (cpu["runs"], cpu["p50_ms"], cpu["p50_low_ms"], cpu["settled"]) == (300, 899.281, 899.281, True)
    assert cpu["timed_by"] == "benchmark_model: medians of 6 runs"
    assert (cpu["p90_ms"], cpu["peak_memory_mb"]) == (None, 150.141)
    assert (cpu["compared"], cpu["off_levels"], cpu["disagrees"]) == (True, 0, "")
    assert (gpu["p50_ms"], gpu["timed_by"]) == (119.375, "benchmark_model: means of 6 runs")
    assert (npu["fails"], npu["p50_ms"]) == ("the NNAPI delegate runs no part of it", None)
    assert not rows["ptq", "tflite"]["compared"]  # the image has another number of bytes than it should
    machine = json.loads((out / "machine.json").read_text())
    assert (machine["cpu"], machine["system"]) == ("SOC1 of Maker Model 1", "Android 16")
    calls = (phone / "calls").read_text().splitlines()
    assert (
        "--graph=fp32_x3_24x40.tflite --num_runs=5 --warmup_runs=2 --min_secs=0 --warmup_min_secs=0 --max_secs=3"
        in calls[6]
    )
    assert any(
        call.endswith("--external_delegate_path=./libvendor.so --external_delegate_options=backend_type:htp")
        for call in calls
    )
    assert [*(phone / "tmp").iterdir()] == []


def test_a_phone_that_is_not_attached_is_told(folder: Path, stage: Stage, phone: Path) -> None:
    (phone / "attached").write_text("")
    done = measured(folder, stage, phone)
    assert done.returncode == 1
    assert done.stderr == (
        "error: device phone: adb does not reach it (error: device 'SERIAL' not found); see `adb devices`\n"
    )
