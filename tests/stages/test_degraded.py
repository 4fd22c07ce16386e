"""A system for photographs with faults through its stages."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from shared import TINY

from pipeline_src.config import Downscaler
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.imaging.degradation import of_scales
from pipeline_src.library.headers import lr_of, read_header

Stage = Callable[..., subprocess.CompletedProcess[str]]

PHOTO: dict[str, Any] = {
    "model": "abpn",
    "scales": [2, 4],
    "net": {"channels": 8, "depth": 1, "image_conv": False},
    "downscaler": {"model": "degraded", "degradation": {"passes": [{"jpeg": 1.0, "quality": [20, 40]}]}},
    "benchmark_size": [24, 32],
    "train": TINY | {"lr": 1e-3, "loss": "l1"},
    "qat": TINY | {"lr": 1e-4, "loss": "l1"},
}


@pytest.fixture
def ready(workspace: Callable[..., Path], train_h5: Path) -> Path:
    """A workspace with the system ``photo``, whose build_h5 is done."""
    changes = {"systems": {"photo": PHOTO | {"scales": [4]}}, "prune": {}}
    folder = workspace(changes | {"quantize": {"calibration_images": 2, "calibration_crop": 32}})
    (folder / "results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, folder / "results/build_h5/train.h5")
    return folder


def test_it_trains_and_is_quantised_on_degraded_images(ready: Path, stage: Stage) -> None:
    for name in ("train", "quantize"):
        done = stage(ready, name, "photo")
        assert done.returncode == 0, done.stderr
    h5, lr_h5 = ready / "results/build_h5/train.h5", ready / "results/train/photo/downscaler/lr.h5"
    spec = Downscaler.model_validate(PHOTO["downscaler"]).degradation
    for split in ("training", "validation"):
        images = ImagePairs(h5, split, lr_h5)
        for name in images.names:
            assert np.array_equal(images.lr(name, 4), of_scales(images.hr(name), [4], spec, 1, name)[4])
    header = read_header(ready / "results/nets/photo/weights.safetensors")
    assert lr_of(header) == "degraded"
    assert header["downscaler"]["degradation"]["passes"][0]["quality"] == [20, 40]
    trained = json.loads((ready / "results/train/photo/metrics.json").read_text())
    quantised = json.loads((ready / "results/quantize/photo/metrics.json").read_text())["photo"]
    assert quantised["fp32"]["psnr_y"] == pytest.approx(trained["psnr_y"], abs=1e-3), "on the same images"
    assert quantised["fp32"]["over_bicubic"] == pytest.approx(trained["over_bicubic"], abs=1e-3)


def test_a_training_that_runs_again_makes_the_same_files(ready: Path, stage: Stage) -> None:
    made = []
    for _ in range(2):
        assert stage(ready, "train", "photo").returncode == 0
        files = [ready / "results/nets/photo/weights.safetensors", ready / "results/train/photo/downscaler/lr.h5"]
        made.append([file.read_bytes() for file in files])
        shutil.rmtree(ready / "results/train")
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"model": "degraded", "lr_factor": 2.0}, "degraded takes degradation and no other key"),
        ({"model": "bicubic", "degradation": {}}, "degradation is of the downscaler degraded, not of bicubic"),
        ({"model": "degraded", "degradation": {"passes": []}}, "at least 1 item"),
        ({"model": "degraded", "degradation": {"passes": [{"sigma": [2.0, 1.0]}]}}, r"\[least, greatest\], not"),
        ({"model": "degraded", "degradation": {"passes": [{"quality": [0, 50]}]}}, "greater than or equal to 1"),
        ({"model": "degraded", "degradation": {"passes": [{"blurr": 1.0}]}}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_keys_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Downscaler.model_validate(spec)
