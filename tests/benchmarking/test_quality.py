"""Quality of exported files on evaluation images, and crops of their images."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.keys import FileKey
from pipeline_src.benchmarking.quality import Crops, Evaluator, measure_files
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb, to_grey
from pipeline_src.imaging.images import read_image, write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.psnr_ssim import quality

Files = dict[Path, Card]
Sets = dict[str, list[Path]]


def test_there_is_one_row_per_upscaler_and_image_and_each_file_is_opened_once(
    exported: Files, sets: Sets, evaluation: EvaluationImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Counter[Path]()

    def counting_load(file: Path, threads: int, load: Any = runtimes.load) -> runtimes.Runner:
        opened[file] += 1
        return load(file, threads)

    monkeypatch.setattr(runtimes, "load", counting_load)
    crops = Crops(tmp_path / "crops", images=1, side=8)
    images, agreements = measure_files(exported, Evaluator(evaluation, threads=1), "small", crops)
    assert opened == dict.fromkeys(exported, 1), "a file is opened once, for quality and agreement together"

    keys = [FileKey("small", "bicubic", "", 3), *(FileKey.of(card) for card in exported.values() if not card.size)]
    pictures = [("one", "colours"), ("one", "grey"), ("two", "cup")]
    assert [(row["variant"], row["runtime"], row["set"], row["image"]) for row in images] == [
        (key.variant, key.runtime, *picture) for key in keys for picture in pictures
    ]
    assert [(row["variant"], row["runtime"]) for row in agreements] == [(key.variant, key.runtime) for key in keys[1:]]
    assert list(images[0]) == [
        "system", "variant", "runtime", "scale", "set", "image", "psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb",
        "psnr_rgb_shave1",
    ]  # fmt: skip
    assert_crops(tmp_path / "crops", sets)


def assert_crops(folder: Path, sets: Sets) -> None:
    """Crops are those of the first image of each set: HR, bicubic, and each variant as the TFLite file gives it."""
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
        f"{image}/{name}.png" for image in ("one_colours_x3", "two_cup_x3") for name in ("bicubic", "fp32", "hr", "ptq")
    ]
    hr = read_image(sets["two"][0])
    crop = read_image(folder / "two_cup_x3/hr.png")
    assert crop.shape == (24, 24, 3)
    assert any(
        np.array_equal(crop, hr[y : y + 24, x : x + 24]) for y in range(0, hr.shape[0], 3) for x in range(hr.shape[1])
    )


def test_quality_is_measured_on_the_images_that_the_file_gives(
    exported: Files, sets: Sets, evaluation: EvaluationImages
) -> None:
    file, card = next((file, card) for file, card in exported.items() if file.name == "ptq_x3.onnx")
    runner, evaluator = runtimes.load(file, 1), Evaluator(evaluation, threads=1)
    rows = list(evaluator.file_rows(FileKey.of(card), runner, None))
    for row, path in zip(rows, (path for files in sets.values() for path in files), strict=True):
        hr = read_image(path)
        lr = imresize(hr, 1 / 3)
        sr = runner(as_rgb(lr))
        expected = quality(hr, sr if hr.ndim == 3 else to_grey(sr), 3)
        assert {key: row[key] for key in asdict(expected)} == asdict(expected)
    bicubic = list(evaluator.bicubic_rows("small", 3, None))
    hr = read_image(sets["two"][0])
    assert bicubic[2]["psnr_y"] == quality(hr, imresize(imresize(hr, 1 / 3), 3), 3).psnr_y


def test_nets_upscale_learned_lr_and_bicubic_upscales_bicubic_lr(exported: Files, evaluation: EvaluationImages) -> None:
    class Black:
        """LR images without any content."""

        def image(self, file: Path, image: Any) -> np.ndarray:
            return np.zeros_like(image.lr)

    card = next(card for card in exported.values() if not card.size)
    learned, protocol = Evaluator(evaluation, 1, Black()), Evaluator(evaluation, 1)  # type: ignore[arg-type]
    inputs: list[np.ndarray] = []

    def runner(lr: np.ndarray) -> np.ndarray:
        inputs.append(lr)
        return imresize(lr, 3)

    list(learned.file_rows(FileKey.of(card), runner, None))  # type: ignore[arg-type]
    assert len(inputs) == 3
    assert not any(lr.any() for lr in inputs)
    assert list(learned.bicubic_rows("small", 3, None)) == list(protocol.bicubic_rows("small", 3, None))


def test_the_error_for_a_flat_image_names_it(tmp_path: Path) -> None:
    wall = tmp_path / "wall.png"
    write_png(wall, np.full((48, 48, 3), 200, np.uint8))
    with pytest.raises(UserError, match=r"wall\.png is flat, so that even bicubic reproduces it exactly; remove it"):
        list(Evaluator(EvaluationImages({"set": [wall]}, 1, tmp_path), 1).bicubic_rows("small", 3, None))
