"""Evaluation images that all files of a stage share."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_src.benchmarking import images
from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.learned_lr import write_comparison
from pipeline_src.benchmarking.quality import Crops, Evaluator, measure_files
from pipeline_src.deployment.cards import Card
from pipeline_src.metrics import protocol
from pipeline_src.metrics.protocol import EvaluationImage, load_evaluation_image

Sets = dict[str, list[Path]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the images that are decoded, and those that are downscaled by bicubic."""
    counts = Counter[str]()

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)

        def count(image: Any, *arguments: Any) -> np.ndarray:
            counts[name] += 1
            return original(image, *arguments)

        monkeypatch.setattr(module, name, count)

    counted(images, "read_image")
    counted(protocol, "read_image")
    counted(protocol, "imresize")
    return counts


def test_an_image_is_decoded_once_and_downscaled_once_per_scale(sets: Sets, tmp_path: Path, made: Counter[str]) -> None:
    expected = {(file, scale): load_evaluation_image(file, scale, 1) for file in sets["one"] for scale in (2, 3)}
    made.clear()
    evaluation = EvaluationImages(sets, 1, tmp_path)
    for _ in range(3):
        for (file, scale), image in expected.items():
            again = evaluation.load(file, scale)
            assert (again.name, again.scale) == (image.name, image.scale)
            assert np.array_equal(again.hr, image.hr)
            assert np.array_equal(again.lr, image.lr)
            assert (again.hr.dtype, again.lr.dtype) == (np.uint8, np.uint8)
    assert made == {"read_image": 2, "imresize": 4}


def test_all_files_of_a_stage_share_the_decoded_and_downscaled_images(
    exported: dict[Path, Card], sets: Sets, tmp_path: Path, made: Counter[str]
) -> None:
    class Learned:
        """LR images that are not made of the evaluation set's files."""

        def image(self, file: Path, image: EvaluationImage) -> np.ndarray:
            return image.lr[::-1]

    learned: Any = Learned()
    (tmp_path / "pixels").mkdir()
    evaluation = EvaluationImages(sets, 1, tmp_path / "pixels")
    measure_files(exported, Evaluator(evaluation, 1, learned), "small", Crops(tmp_path / "crops", 1, 8))
    write_comparison(learned, exported, evaluation, 1, tmp_path)
    count = sum(len(files) for files in sets.values())
    upscaled = count  # by the bicubic row, with the same function
    assert made == {"read_image": count, "imresize": count + upscaled}


def test_the_pixels_take_the_size_of_the_images_on_disk(sets: Sets, tmp_path: Path) -> None:
    evaluation = EvaluationImages(sets, 1, tmp_path)
    for file in sets["two"]:
        for scale in (2, 4):
            evaluation.load(file, scale)
    kept = sum(np.load(file).nbytes for file in tmp_path.iterdir())
    assert kept == 3 * (66 * 102 + 33 * 51 + 16 * 25)
