"""LR images of a learned downscaler, and their comparison with bicubic LR."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from shared import photograph

from pipeline_src import downscaling
from pipeline_src.benchmarking import learned_lr
from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.learned_lr import LearnedLR, write_comparison
from pipeline_src.imaging.images import read_image, write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.downscaled import JPEG_QUALITIES, fidelity
from pipeline_src.metrics.protocol import load_evaluation_image
from pipeline_src.paths import own_lr_folder
from pipeline_src.weights import save_net

Sets = dict[str, list[Path]]
NET = {"entry": 4, "features": 8, "head": 8, "blocks": 1}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write the weights of an untrained CAR downscaler for ×2."""
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_net(file, downscaling.build("car", [2], NET), {"downscaler": "car", "scales": [2], "net": NET})
    return file


def test_an_image_is_downscaled_once_and_cached(weights: Path, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[np.ndarray] = []

    def recording_downscale(*arguments: Any, downscale: Any = downscaling.downscale) -> np.ndarray:
        made.append(downscale(*arguments))
        return made[-1]

    monkeypatch.setattr(downscaling, "downscale", recording_downscale)
    images = LearnedLR(weights, threads=1)
    for file in sets["one"]:
        image = load_evaluation_image(file, 2, threads=1)
        lr = images.image(file, image)
        assert lr is made[-1]
        assert (lr.shape, lr.dtype) == (image.lr.shape, np.uint8)
        assert images.image(file, image) is lr
    assert len(made) == 2


def test_the_images_are_written_and_compared_with_bicubic_lr(
    weights: Path, sets: Sets, evaluation: EvaluationImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bicubic upscaling replaces the net, so that the quality after JPEG is known for bicubic LR."""
    monkeypatch.setattr(learned_lr.runtimes, "load", lambda file, threads: lambda lr: imresize(lr, 2))
    files: Any = {
        Path(f"{variant}.{form}"): SimpleNamespace(variant=variant, format=form, scale=2)
        for variant in ("fp32", "qat")
        for form in ("onnx", "tflite")
    }
    images = LearnedLR(weights, threads=1)
    write_comparison(images, files, evaluation, threads=1, folder=tmp_path)

    lr_table, jpeg_table = (pd.read_csv(tmp_path / name) for name in ("lr.csv", "jpeg.csv"))
    assert list(lr_table) == [
        "set", "image", "scale", "lr", "psnr_y", "ssim_y", "aliasing", "tone_shift", "png_bytes"
    ]  # fmt: skip
    assert list(jpeg_table) == ["set", "image", "scale", "lr", "quality", "bytes", "psnr_y", "ssim_y"]
    pictures = [("one", "colours"), ("one", "grey"), ("two", "cup")]
    keys = [(*picture, lr) for picture in pictures for lr in ("learned", "bicubic")]
    assert list(lr_table[["set", "image", "lr"]].itertuples(index=False, name=None)) == keys
    assert list(jpeg_table[["set", "image", "lr", "quality"]].itertuples(index=False, name=None)) == [
        (*key, quality) for key in keys for quality in JPEG_QUALITIES
    ]
    file = sets["two"][0]
    image = load_evaluation_image(file, 2, threads=1)
    written = read_image(tmp_path / "lr/two/cup_x2.png")
    assert np.array_equal(written, images.image(file, image))
    assert lr_table["psnr_y"].iloc[4] == fidelity(image, written).psnr_y
    assert lr_table["psnr_y"].iloc[5] == float("inf")


def test_a_set_with_lr_images_of_its_own_is_not_compared(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    write_png(folder / "a.png", photograph("coffee.png")[:80, :80])
    write_png(own_lr_folder(folder, 2) / "a.png", photograph("coffee.png")[:40, :40])
    images = EvaluationImages({"web": [folder / "a.png"]}, 1, tmp_path)
    assert images.bicubic_sets() == {}
    assert images.load(folder / "a.png", 2).lr.shape == (40, 40, 3)
