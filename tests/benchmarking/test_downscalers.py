"""The table of a downscaler's files; ``tests/stages/test_learned_downscaling.py`` measures real ones."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shared import photograph

from pipeline_src.benchmarking import downscalers
from pipeline_src.benchmarking.downscalers import Chain
from pipeline_src.benchmarking.keys import FileKey
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.protocol import evaluation_image


def card(variant: str, runtime: str, fails: str = "") -> Any:
    return SimpleNamespace(system="s/downscaler", variant=variant, format=runtime, scale=2, size=None, fails=fails)


def test_a_file_that_cannot_be_run_has_a_row_that_says_why() -> None:
    files = {Path("a"): card("ptq", "tflite"), Path("b"): card("ptq", "openvino", "OpenVINO crashes on it")}
    key = FileKey.of(files[Path("a")]).columns()
    rows = [key | {"set": name, "lr_psnr": 50.0} for name in ("one", "two")]
    table = downscalers.table(rows, pd.DataFrame([key | {"p50_ms": 3.0}]), files)
    assert table["runtime"].tolist() == ["tflite", "tflite", "openvino"]
    assert table["p50_ms"].tolist()[:2] == [3.0, 3.0]
    assert table["fails"].tolist() == ["", "", "OpenVINO crashes on it"]
    assert pd.isna(table["lr_psnr"].iloc[2])


def test_an_lr_image_that_several_files_give_is_upscaled_once() -> None:
    upscaled = []

    def bicubic(lr: np.ndarray) -> np.ndarray:
        upscaled.append(lr)
        return imresize(lr, 2)

    net: Any = bicubic
    chain, file = Chain(net, net, threads=1), Path("coffee.png")
    image = evaluation_image(file, photograph("coffee.png")[:60, :80], 2, 1, None)
    first = chain.scores(file, image, image.lr)
    assert chain.scores(file, image, image.lr.copy()) == first
    assert len(upscaled) == 2, "by the float net and by the int8 net"
    assert first.bicubic_psnr_y == float("inf")
    assert first.psnr_y_float == first.psnr_y_int8 > 20
    other = chain.scores(file, image, image.lr ^ 1)
    assert 40 < other.bicubic_psnr_y < 60
    assert len(upscaled) == 4


def test_psnr_is_that_of_all_pixels_together() -> None:
    assert downscalers._psnr([0.0, 2.0]) == pytest.approx(10 * np.log10(255**2))
    assert downscalers._psnr([0.0, 0.0]) == float("inf")
