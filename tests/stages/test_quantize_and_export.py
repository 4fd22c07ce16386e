"""The stages prune, quantize, export and benchmark, run as their commands on a net of two scales and a few steps."""

import csv
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from shared import TINY, fetched, photograph, stage_environment

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.deployment import cards
from pipeline_src.files import sha256
from pipeline_src.graph.saturation import LARGEST_SUM

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]

RECIPE: dict[str, Any] = TINY | {"augment": ["hflip"], "loss": "l1", "lr": 1e-4, "decay": "cosine"}
FROM_NOTHING = RECIPE | {"steps": 80, "lr": 3e-3}  # down from the random residual that it begins with
SMALL = {
    "model": "vdsr",
    "scales": [2, 3],
    "net": {"channels": 6, "depth": 3},
    "downscaler": {"model": "bicubic"},
    "benchmark_size": [24, 32],
    "train": FROM_NOTHING,
    "qat": RECIPE,
}
PRUNE = {"small": {"nets": {"half": {"pruner": "l1", "sparsity": 0.5}}, "finetune": FROM_NOTHING}}
NETS = ("small", "small/half")
VARIANTS = ("fp32", "ptq", "qat")


@pytest.fixture
def trained(workspace: Make, train_h5: Path, stage: Stage) -> Path:
    """A workspace whose stage train is done."""
    folder = workspace(
        {
            "systems": {"small": SMALL},
            "prune": PRUNE,
            "quantize": {"calibration_images": 2, "calibration_crop": 32},
            "benchmark": {
                "threads": 1,
                "sweep": [1, 2],
                "warmup": 1,
                "runs": 2,
                "interval": 9,
                "min_seconds": 0,
                "crops": 1,
                "crop_size": 16,
            },
        }
    )
    (folder / "results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, folder / "results/build_h5/train.h5")
    done = stage(folder, "train", "small")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_prune_quantize_export_benchmark_and_upscale_at_two_scales(trained: Path, stage: Stage) -> None:
    colours = Image.fromarray(photograph("astronaut.png")[60:120, 200:272])
    heldout = fetched(trained, "samples_heldout", a=colours, grey=colours.convert("L"))
    exported = trained / "results/export/small"
    early = stage(trained, "export", "small")
    assert early.returncode == 1
    assert early.stderr.splitlines()[-1].endswith(
        "metrics.json does not exist; run `python -m pipeline_src.stages.quantize small`, or `dvc repro`"
    )
    assert not exported.exists()
    for name in ("prune", "quantize", "export"):
        done = stage(trained, name, "small")
        assert done.returncode == 0, done.stderr
    assert_pruned(trained / "results/nets/small/prune")
    assert_quantized(trained / "results/quantize/small", trained / "results/build_h5/train.h5")
    assert_exported(exported, trained / "results/quantize/small")
    for card in exported.rglob("*.json"):  # two kinds of files are enough to measure
        if not card.name.startswith("qat") or card.name.endswith(".xml.json"):
            card.unlink()
    done = stage(trained, "benchmark", "small")
    assert done.returncode == 0, done.stderr
    for net in NETS:
        assert_measured(trained / "results/benchmark" / net, net)
    assert_swept(trained / "results/benchmark/small")
    assert_upscaled(trained, heldout)


def assert_pruned(out: Path) -> None:
    layers = [tuple(row.values()) for row in csv.DictReader((out / "layers.csv").open())]
    assert layers == [("small/half", f"body.{2 * i}", str(n), str(n // 2 or 1)) for i, n in enumerate((6, 6, 1))]
    assert load_file(out / "nets/half.safetensors")["body.2.weight"].shape == (3, 3, 3, 3)
    assert set(json.loads((out / "metrics.json").read_text())) == set(NETS)
    steps = [(row["net"], row["step"]) for row in csv.DictReader((out / "curve.csv").open())]
    assert steps == [("small/half", str(step)) for step in (*range(0, 80, 6), 80)]


def assert_quantized(out: Path, train_h5: Path) -> None:
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics) == set(NETS)
    for of_net in metrics.values():
        assert set(of_net) == set(VARIANTS)
        for row in of_net.values():
            assert set(row) == {"psnr_y", "psnr_rgb", "over_bicubic", "psnr_y_x2", "psnr_y_x3"}
            assert row["psnr_y"] == pytest.approx((row["psnr_y_x2"] + row["psnr_y_x3"]) / 2)
        assert of_net["ptq"]["psnr_rgb"] == pytest.approx(of_net["fp32"]["psnr_rgb"], abs=0.3)

    layers = [(row["scale"], row["layer"]) for row in csv.DictReader((out / "sensitivity.csv").open())]
    assert {(scale, f"body.{i}") for scale in "23" for i in (0, 2, 4)} <= set(layers)
    images = ImagePairs(train_h5, "training")
    rows = list(csv.DictReader((out / "calibration.csv").open()))
    assert [row["scale"] for row in rows] == ["2", "2", "3", "3"]
    for row in rows:
        lr, _ = images.middle(f"{row['set']}/{row['file']}", int(row["scale"]), 32)
        assert hashlib.sha256(lr.tobytes()).hexdigest() == row["sha256_pixels"]

    ptq, qat = (load_file(out / f"nets/{variant}.safetensors") for variant in ("ptq", "qat"))
    for scale in ("x2.", "x3."):
        weights = [key for key in ptq if key.startswith(scale) and key.endswith("weight")]
        assert weights
        assert any((ptq[key] != qat[key]).any() for key in weights), f"QAT trained nothing at {scale}"
    assert not any(value.any() for key, value in qat.items() if key.endswith("observer_enabled")), "ranges still move"


def assert_exported(exported: Path, quantized: Path) -> None:
    found = cards.read_folder(exported)
    assert {(card.system, card.variant, card.format, card.scale, card.size is None) for card in found.values()} == {
        (net, variant, made_as, scale, any_size)
        for net in NETS
        for variant in VARIANTS
        for scale in (2, 3)
        for made_as, any_size in (("onnx", True), ("openvino", True), ("tflite", True), ("tflite", False))
    } | {(net, "fp32", "openvino_fp16", scale, True) for net in NETS for scale in (2, 3)}
    assert all((card.largest_sum > 0) == (card.variant != "fp32") for card in found.values())
    assert all(card.largest_sum <= LARGEST_SUM for card in found.values()), "a sum that saturates on some CPUs"
    card = found[exported / "qat_x3.onnx"]
    assert card.weights == {"qat.safetensors": sha256(quantized / "nets/qat.safetensors")}
    assert (card.colour, card.parameters) == ("Y", 9 * (6 + 36 + 6))
    assert found[exported / "half/qat_x3.onnx"].parameters == 9 * (3 + 9 + 3)
    inventory = list(csv.DictReader((exported / "inventory.csv").open()))
    assert {(row["net"], row["file"]) for row in inventory} == {
        (card.system, file.name) for file, card in found.items()
    }
    assert list(inventory[0]) == ["net", "file", "op", "count", "activations", "constants"]


def assert_measured(out: Path, net: str) -> None:
    rows = list(csv.DictReader((out / "benchmark.csv").open()))
    measured = {(row["variant"], row["runtime"], row["scale"]): row for row in rows}
    assert set(measured) == {
        *(("bicubic", "", scale) for scale in "23"),
        *(("qat", runtime, scale) for runtime in ("onnx", "tflite") for scale in "23"),
    }
    for (_, runtime, scale), row in measured.items():
        assert row["system"] == net
        assert row["images"] == "2"
        if runtime:
            bicubic = float(measured["bicubic", "", scale]["psnr_y"])
            assert float(row["psnr_y"]) == pytest.approx(bicubic, abs=8)
            assert float(row["psnr_y"]) == pytest.approx(float(measured["qat", "onnx", scale]["psnr_y"]), abs=0.1)
            assert [float(row[key]) for key in ("lr_height", "lr_width", "threads")] == [24, 32, 1]
            assert float(row["runs"]) >= 6, "fewer than six runs have no interval, though two were asked for"
            assert 0 < float(row["infer_p50_ms"]) <= float(row["p50_ms"])
            assert float(row["peak_memory_mb"]) > 0
    crops = {folder.name for folder in out.glob("crops/*")}
    assert crops == ({"samples_heldout_a_x2", "samples_heldout_a_x3"} if net == "small" else set())


def assert_swept(out: Path) -> None:
    rows = list(csv.DictReader((out / "threads.csv").open()))
    assert {(row["variant"], row["runtime"], row["scale"], row["threads"]) for row in rows} == {
        ("qat", runtime, scale, threads) for runtime in ("onnx", "tflite") for scale in "23" for threads in "12"
    }
    assert all(float(row["p50_ms"]) > 0 for row in rows)


def assert_upscaled(folder: Path, heldout: Path) -> None:
    def upscale(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(
            folder,
            "pipeline_src.cli.upscale",
            *(str(heldout / "grey.png"), "-o", "sr.png", "--model", "small", *arguments),
            environment=stage_environment(),
        )

    done = upscale("--scale", "3", "--runtime", "tflite", "--variant", "qat")
    assert done.returncode == 0, done.stderr
    grey = Image.open(folder / "sr.png")
    assert (grey.mode, grey.size) == ("L", (216, 180))
    done = upscale("--model", "small/half", "--scale", "2", "--runtime", "tflite", "--variant", "qat")
    assert done.returncode == 0, done.stderr
    lr = np.asarray(Image.open(heldout / "grey.png")).astype(float)
    assert abs(np.asarray(grey).astype(float).reshape(60, 3, 72, 3).mean(axis=(1, 3)) - lr).mean() < 12
    for arguments, sentence in (
        (("--scale", "4"), "small upscales ×2, ×3, not ×4; choose another --scale"),
        (("--scale", "4", "--runtime", "torch"), "small upscales ×2, ×3, not ×4; choose another --scale"),
    ):
        done = upscale(*arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"error: {sentence}"
