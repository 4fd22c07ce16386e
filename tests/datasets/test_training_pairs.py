"""The images of train.h5: their order, split, sizes and LR images."""

from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.config import BuildH5
from pipeline_src.datasets.training_pairs import training_pairs
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import write_png
from pipeline_src.imaging.imresize import imresize

SPEC = BuildH5(scales=[2, 3], matlab="double", validation_every=3, resize_factors=[1.0, 0.5])


def files(folder: Path, *sides: int) -> list[Path]:
    paths = [folder / f"set/{index}.png" for index in range(len(sides))]
    for path, side in zip(paths, sides, strict=True):
        write_png(path, photograph("coffee.png")[100 : 100 + side, 100 : 100 + side])
    return paths


@pytest.mark.parametrize("threads", [1, 2])
def test_every_third_image_is_for_validation_and_only_the_others_are_resized(tmp_path: Path, threads: int) -> None:
    images = files(tmp_path, 70, 60, 80, 64, 90)
    records = list(training_pairs(images, SPEC, threads))
    assert [(split, name) for split, name, _, _ in records] == [
        ("training", "set/0.png"),
        ("training", "set/0.png@0.5"),
        ("training", "set/1.png"),  # half of it would be too small
        ("validation", "set/2.png"),
        ("training", "set/3.png"),
        ("training", "set/3.png@0.5"),
        ("training", "set/4.png"),
        ("training", "set/4.png@0.5"),
    ]
    hr = {name: image for _, name, image, _ in records}
    assert hr["set/0.png"].shape == (70, 70, 3)
    assert np.array_equal(hr["set/0.png@0.5"], imresize(hr["set/0.png"], 0.5, "double"))
    for _, _, image, lr in records:
        assert set(lr) == {2, 3}
        side = len(image) // 3 * 3
        assert np.array_equal(lr[3], imresize(image[:side, :side], 1 / 3, "double"))


def test_a_set_may_have_resize_factors_of_its_own(tmp_path: Path) -> None:
    records = training_pairs(files(tmp_path, 70, 80), SPEC, 1, {"set": [0.5], "another": [1.0]})
    assert [name for _, name, _, _ in records] == ["set/0.png@0.5", "set/1.png@0.5"]


def test_the_error_for_a_small_image_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set/1\.png is smaller than 32 pixels; remove it from its set"):
        list(training_pairs(files(tmp_path, 40, 31), SPEC, 1))
