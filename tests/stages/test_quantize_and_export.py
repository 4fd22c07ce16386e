"""The stages quantize and export, run as their commands on a net of a few steps."""

import csv
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from pipeline_src.deployment import cards
from pipeline_src.files import sha256

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def trained(workspace: Make, train_h5: Path, stage: Stage) -> Path:
    """A workspace whose stage train is done."""
    folder = workspace({"quantize": {"calibration_images": 2, "calibration_crop": 32}})
    (folder / "results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, folder / "results/build_h5/train.h5")
    done = stage(folder, "train", "abpn_x3")
    assert done.returncode == 0, done.stderr
    return folder


def test_quantize_then_export(trained: Path, stage: Stage) -> None:
    for name in ("quantize", "export"):
        done = stage(trained, name, "abpn_x3")
        assert done.returncode == 0, done.stderr
    out = trained / "results/quantize/abpn_x3"
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics) == {"fp32", "ptq", "qat"}
    assert all(set(row) == {"psnr_y", "psnr_rgb"} for row in metrics.values())
    assert metrics["ptq"]["psnr_rgb"] == pytest.approx(metrics["fp32"]["psnr_rgb"], abs=0.3)

    from pipeline_src.data.hdf5 import ImagePairs

    images = ImagePairs(trained / "results/build_h5/train.h5", "training")
    rows = list(csv.DictReader((out / "calibration.csv").open()))
    assert len(rows) == 2
    for row in rows:
        lr, _ = images.middle(f"{row['set']}/{row['file']}", 3, 32)
        assert hashlib.sha256(lr.tobytes()).hexdigest() == row["sha256_pixels"]

    ptq, qat = (load_file(out / f"{variant}.safetensors") for variant in ("ptq", "qat"))
    assert any((ptq[key] != qat[key]).any() for key in ptq if key.endswith("weight")), "QAT trained nothing"
    assert not any(value.any() for key, value in qat.items() if key.endswith("observer_enabled")), "ranges still move"

    exported = trained / "results/export/abpn_x3"
    found = cards.of_folder(exported)
    assert {(card.variant, card.format, card.size is None) for card in found.values()} == {
        (variant, made_as, any_size)
        for variant in ("fp32", "ptq", "qat")
        for made_as, any_size in (("onnx", True), ("openvino", True), ("tflite", True), ("tflite", False))
    }
    assert found[exported / "qat_x3.onnx"].weights == {"qat.safetensors": sha256(out / "qat.safetensors")}
    inventory = list(csv.DictReader((exported / "inventory.csv").open()))
    assert {row["file"] for row in inventory} == {file.name for file in found}
    assert list(inventory[0]) == ["file", "op", "count", "activations", "constants"]


def test_export_without_the_quantised_nets_says_what_to_run(trained: Path, stage: Stage) -> None:
    done = stage(trained, "export", "abpn_x3")
    assert done.returncode == 1
    assert "ptq.safetensors does not exist; run the stage that makes it first" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (trained / "results/export/abpn_x3").exists()
