"""The stage build_h5, run as its command on a few crops of photographs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from shared import photograph

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.imaging.imresize import imresize, modcrop
from pipeline_src.stages.build_h5 import build_h5
from pipeline_src.stages.fetch import fetch

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetched(workspace: Make, stage: Stage) -> Path:
    """A workspace that has fetched four photographs to train on, and one to evaluate on."""
    folder = workspace({"build_h5": {"validation_every": 3, "resize_factors": [1.0, 0.5]}})
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["sets"] = {
        "holiday": {"role": "training", "folder": "holiday"},
        "judged": {"role": "evaluation", "folder": "judged"},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    crops = {
        "holiday/a.png": ("coffee.png", 90),
        "holiday/b.png": ("chelsea.png", 60),
        "holiday/c.png": ("rocket.jpg", 100),
        "holiday/d.png": ("coffee.png", 50),
        "judged/e.png": ("astronaut.png", 70),
    }
    for name, (source, side) in crops.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photograph(source)[40 : 40 + side, 60:160]).save(folder / name)
    for name in params["sets"]:
        assert stage(folder, "fetch", name).returncode == 0
    return folder


def test_training_images_are_there_in_every_size_and_validation_images_in_their_own(
    fetched: Path, stage: Stage
) -> None:
    done = stage(fetched, "build_h5")
    assert done.returncode == 0, done.stderr
    training, validation = (
        ImagePairs(fetched / "results/build_h5/train.h5", part) for part in ("training", "validation")
    )
    # half of b and d would be smaller than the 32 pixels that the smallest image has
    assert training.names == [f"holiday/{name}" for name in ("a.png", "a.png@0.5", "b.png", "d.png")]
    assert validation.names == ["holiday/c.png"]
    half = imresize(photograph("coffee.png")[40:130, 60:160], 0.5)
    assert np.array_equal(training.hr("holiday/a.png@0.5"), half)
    for scale in (2, 3, 4):
        assert np.array_equal(training.lr("holiday/a.png@0.5", scale), imresize(modcrop(half, scale), 1 / scale))


def test_pairs_of_the_users_own_go_through_both_stages(
    workspace: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace({"build_h5": {"scales": [2], "validation_every": 2}})
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["sets"] = {
        "phone": {"role": "training", "folder": "HR", "lr_folder": "LR"},
        "judged": {"role": "evaluation", "folder": "judged"},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SR_TRACKING", "off")
    lr = {}
    for name, top in (("a", 0), ("b", 100)):
        hr = photograph("coffee.png")[top : top + 71, :90]
        lr[name] = hr[1::2, ::2]
        for path, pixels in {f"HR/{name}.png": hr, f"LR/{name}.png": lr[name], f"judged/{name}.png": hr[::-1]}.items():
            (folder / path).parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / path)
    for name in params["sets"]:
        fetch(name)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "phone: 2 images; your own, recorded as they are",
        "phone: 2 LR images; your own, each of the size that its HR image needs",
    ]
    build_h5()
    for split, name in (("training", "a"), ("validation", "b")):
        images = ImagePairs(folder / "results/build_h5/train.h5", split)
        assert images.names == [f"phone/{name}.png"]
        assert np.array_equal(images.lr(f"phone/{name}.png", 2), lr[name])


def test_an_evaluation_image_in_the_folder_of_a_training_set_is_not_trained_on(fetched: Path, stage: Stage) -> None:
    shutil.copy(fetched / "results/fetch/evaluation/judged/e.png", fetched / "results/fetch/training/holiday")
    done = stage(fetched, "build_h5")
    assert done.returncode == 1
    assert done.stderr == (
        "error: results/fetch/training/holiday/e.png is not in the manifest of its set; remove it, or run the stage "
        "fetch@holiday again (dvc repro -f fetch@holiday)\n"
    )
    assert not (fetched / "results/build_h5").exists()
