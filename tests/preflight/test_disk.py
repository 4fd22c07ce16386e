"""The space that a run takes on the disk."""

from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src import config, paths
from pipeline_src.config import Downscaler, ImageSet
from pipeline_src.datasets.image_sets import obtain
from pipeline_src.errors import UserError
from pipeline_src.preflight.disk import gigabytes, needed_bytes, refuse_full_disk
from pipeline_src.preflight.image_sets import Download, SetNeeds, needs_of


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Params:
    """Params with one system, whose LR images are bicubic, and the scales 2 and 4."""
    monkeypatch.chdir(tmp_path)
    loaded = config.load(ROOT / "params.yaml")
    build_h5 = loaded.build_h5.model_copy(update={"scales": [2, 4], "resize_factors": [1.0, 0.5]})
    sets = {"a": config.ImageSet(role="training"), "b": config.ImageSet(role="evaluation")}
    systems = {"abpn_x3": loaded.systems["abpn_x3"]}
    return loaded.model_copy(update={"sets": sets, "build_h5": build_h5, "systems": systems})


def test_the_training_file_is_estimated_from_the_pixels(params: config.Params, train_h5: Path) -> None:
    training, evaluation = SetNeeds("a", "training", pixels=1000), SetNeeds("b", "evaluation", pixels=5000)
    train_bytes = 3 * 1000 * (1 + 1 / 4) * (1 + 1 / 4 + 1 / 16)
    assert needed_bytes(params, [training, evaluation]) == 2 * int(train_bytes)  # and in DVC's cache
    params.sets["a"] = config.ImageSet(role="training", resize_factors=[0.5])
    assert needed_bytes(params, [training, evaluation]) == pytest.approx(2 * train_bytes / 5, abs=4)


def test_the_estimate_is_that_of_a_real_training_file(params: config.Params, train_h5: Path) -> None:
    build_h5 = params.build_h5.model_copy(update={"scales": [2, 3, 4], "resize_factors": [1.0]})
    pixels = 170 * sum(200 + index for index in range(4))  # as tests/conftest.py crops them
    needed = needed_bytes(params.model_copy(update={"build_h5": build_h5}), [SetNeeds("a", "training", pixels)])
    assert needed / 2 == pytest.approx(train_h5.stat().st_size, rel=0.05)


def test_what_is_there_already_is_not_needed_again(params: config.Params) -> None:
    needs = [SetNeeds("a", "training", pixels=1000)]
    before = needed_bytes(params, needs)
    paths.TRAIN_H5.parent.mkdir(parents=True)
    paths.TRAIN_H5.write_bytes(bytes(before // 2))
    assert needed_bytes(params, needs) == 0


def test_an_archive_counts_once_and_its_images_for_each_set(params: config.Params) -> None:
    archive = Download("http://server/a.zip", 100)
    needs = [SetNeeds(name, "evaluation", 0, size=10, download=archive) for name in ("a", "b")]
    assert needed_bytes(params, needs) == 100 + 2 * 3 * 10  # unpacked, in results/, in the cache
    assert needed_bytes(params, [SetNeeds("a", "evaluation", 0, 10, Download("http://server/a.zip", None))]) == 30


def test_a_learned_downscaler_makes_images_of_its_own(params: config.Params) -> None:
    car = config.load(ROOT / "params.yaml").systems["conv_x4"]
    needs = [SetNeeds("a", "training", pixels=16_000)]
    added = needed_bytes(params.model_copy(update={"systems": params.systems | {"conv_x4": car}}), needs)
    assert added - needed_bytes(params, needs) == pytest.approx(2 * 3 * 16_000 * 1.25 / 16)


def test_a_disk_that_is_too_small_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refuse_full_disk(1) > 1
    with pytest.raises(
        UserError,
        match=r"^the image sets and what is made of them take about 1000000000 GB of disk, but \S+ has .* GB free",
    ):
        refuse_full_disk(10**18)


def test_gigabytes_are_said_with_two_digits_or_more() -> None:
    assert [gigabytes(size) for size in (0.04e9, 3.53e9, 30.4e9)] == ["0.0 GB", "3.5 GB", "30 GB"]


def test_degraded_lr_images_count(params: config.Params, tmp_path: Path) -> None:
    spec = ImageSet.model_validate({"role": "evaluation", "images_of": "samples_heldout", "degraded": {}})
    (tmp_path / "photo").mkdir()
    obtain("photo", spec, tmp_path / "photo")
    written = sum(file.stat().st_size for file in (tmp_path / "photo").rglob("*.*"))
    (needs,) = needs_of({"photo": spec})
    assert needs.size == pytest.approx(written, rel=0.25)
    systems = {"photo": params.systems["abpn_x3"].model_copy(update={"downscaler": Downscaler(model="degraded")})}
    training = [SetNeeds("a", "training", pixels=16_000)]
    added = needed_bytes(params.model_copy(update={"systems": systems}), training) - needed_bytes(params, training)
    assert added == pytest.approx(2 * 3 * 16_000 * 1.25 / 9, rel=0.01)
