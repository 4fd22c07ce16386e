"""What the trainings of a stage share: above all, which of them may resume which checkpoint."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline_src.config import Degradation, Recipe, Train
from pipeline_src.datasets.hdf5 import ImagePairs, write_lr
from pipeline_src.models import build
from pipeline_src.paths import TRAIN_H5
from pipeline_src.training import session
from pipeline_src.training.loop import TrainingRun
from pipeline_src.training.session import Options, TrainingSession, checkpoint_path
from pipeline_src.weights import OtherLR

SETTINGS = {"checkpoint_every": 4, "validate_every": 6, "validation_crop": 16, "precision": "fp32"}


@pytest.fixture
def built(train_h5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which build_h5 is done."""
    monkeypatch.chdir(tmp_path)
    TRAIN_H5.parent.mkdir(parents=True)
    shutil.copy(train_h5, TRAIN_H5)
    return tmp_path


def test_another_recipe_does_not_resume_this_checkpoint() -> None:
    assert checkpoint_path("a", {"seed": 1, "lr": 0.1}) == checkpoint_path("a", {"lr": 0.1, "seed": 1})
    assert checkpoint_path("a", {"seed": 1}) != checkpoint_path("a", {"seed": 2})


def test_what_the_weights_depend_on_names_the_checkpoint(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[TrainingRun] = []
    monkeypatch.setattr(session, "fit", lambda net, patches, recipe, run: runs.append(run))
    net = build("abpn", [3], {"channels": 4, "depth": 1})

    def checkpoint(made_from: dict[str, Any], options: Options, **changes: Any) -> Path:
        recipe = Recipe.model_validate({"steps": 4, "batch": 2, "patch": 8, "lr": changes.pop("lr", 1e-3)})
        settings = Train.model_validate(SETTINGS | changes)
        TrainingSession(settings, 1, threads=1).fit("train@a/b", net, recipe, made_from, options)
        return runs[-1].checkpoint

    plain = checkpoint({}, Options())
    assert plain == checkpoint({}, Options(), checkpoint_every=2), "how often it is written changes no weight"
    others = [
        checkpoint({"weights": "0"}, Options()),
        checkpoint({}, Options(), lr=1e-4),
        checkpoint({}, Options(), precision="bf16"),
        checkpoint({}, Options(precision=torch.bfloat16)),
        checkpoint({}, Options(compiled=True)),
        checkpoint({}, Options(seed=2)),
    ]
    assert len({plain, *others}) == 7
    assert plain.parent == Path(".cache/train")
    assert plain.name.startswith("train@a-b-")


def test_images_of_a_learned_downscaler_are_not_turned(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned = built / "lr.h5"
    images = [ImagePairs(TRAIN_H5, split) for split in ("training", "validation")]
    write_lr(learned, ((of.split, name, {3: of.lr(name, 3)}) for of in images for name in of.names))
    augmented: list[tuple[str, ...]] = []
    monkeypatch.setattr(session, "fit", lambda net, patches, recipe, run: augmented.append(patches.augment))
    recipe = Recipe.model_validate({"steps": 4, "batch": 2, "patch": 8, "lr": 1e-3})
    net = build("abpn", [3], {"channels": 4, "depth": 1})
    for lr in (None, OtherLR(learned), OtherLR(learned, Degradation())):
        TrainingSession(Train.model_validate(SETTINGS), 1, 1, lr).fit("train@a", net, recipe, {}, Options())
    assert augmented == [("hflip", "vflip", "transpose"), (), ("hflip", "vflip", "transpose")]
