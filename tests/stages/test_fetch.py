"""The stage fetch as a user runs it: results, messages, exit status, and nothing half-written."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from shared import ROOT

from pipeline_src.datasets import catalogue
from pipeline_src.datasets.known_sets import SETS, KnownSet
from pipeline_src.datasets.manifests import read_manifest
from pipeline_src.errors import UserError
from pipeline_src.stages import fetch as fetch_stage

Make = Callable[..., Path]
Stage = Callable[..., "subprocess.CompletedProcess[str]"]


def photographs(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a params.yaml of its own and two photographs of the user's."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sets"] = {
        "samples": {"role": "training"},
        "samples_heldout": {"role": "evaluation"},
        "holiday": {"role": "evaluation", "folder": "photos"},
        "General100": {"role": "training"},
        "Set5": {"role": "training"},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    photographs(tmp_path / "photos", 2)
    return tmp_path


def fetch(project: Path, name: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {key: value for key, value in os.environ.items() if key != "SR_DATA_MIRROR"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline_src.stages.fetch", name],
        cwd=project,
        env=inherited | {"PYTHONPATH": str(ROOT), "SR_TRACKING": "off"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_samples_and_the_users_own_photographs(project: Path) -> None:
    for name in ("samples", "holiday"):
        done = fetch(project, name)
        assert done.returncode == 0, done.stderr
    assert "2 images; your own" in done.stdout
    assert sorted(path.relative_to(project).as_posix() for path in (project / "results/fetch").glob("*/*")) == [
        "results/fetch/evaluation/holiday",
        "results/fetch/training/samples",
    ]
    with (project / "results/fetch/training/samples/manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "width", "height", "mode", "sha256_pixels", "source", "verified"]
    files = {path.name for path in (project / "results/fetch/training/samples").iterdir()}
    assert files == {row["file"] for row in rows} | {"manifest.csv"}


def test_fetching_again_replaces_what_was_there(project: Path) -> None:
    fetch(project, "holiday")
    (project / "photos/0.png").rename(project / "photos/new.png")
    assert fetch(project, "holiday").returncode == 0
    files = {path.name for path in (project / "results/fetch/evaluation/holiday").iterdir()}
    assert files == {"1.png", "new.png", "manifest.csv"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("General100", "error: the image set General100 (Dong et al., ECCV 2016) is not available"),
        ("Set5", "error: the image set Set5 is for evaluation only; give it the role evaluation in params.yaml"),
        ("Set6", "error: params.yaml has no image set 'Set6'; it has "),
    ],
)
def test_a_set_that_cannot_be_had_is_one_sentence_and_leaves_nothing(project: Path, name: str, words: str) -> None:
    done = fetch(project, name)
    assert done.returncode == 1
    assert done.stderr.startswith(words)
    assert len(done.stderr.splitlines()) == 1
    assert not [path for path in (project / "results").rglob("*") if path.is_file()]


def test_a_broken_photograph_is_named_and_the_last_result_stays(project: Path) -> None:
    assert fetch(project, "holiday").returncode == 0
    whole = (project / "photos/1.png").read_bytes()
    (project / "photos/1.png").write_bytes(whole[: len(whole) // 2])
    done = fetch(project, "holiday")
    assert done.returncode == 1
    assert "error: the image photos/1.png is broken or cut short" in done.stderr
    assert (project / "results/fetch/evaluation/holiday/1.png").read_bytes() == whole
    assert [path.name for path in (project / "results/fetch/evaluation").iterdir()] == ["holiday"]


def test_a_mirror_with_a_missing_image_is_named(project: Path) -> None:
    (project / "mirror/General100/HR").mkdir(parents=True)
    (project / "photos/0.png").rename(project / "mirror/General100/HR/im_001.png")
    done = fetch(project, "General100", SR_DATA_MIRROR="mirror")
    assert done.returncode == 1
    assert (
        "mirror/General100/HR lacks 100 of the 100 images of General100: the first, im_001.png, is 60×40" in done.stderr
    )


def test_help_imports_nothing_heavy(project: Path) -> None:
    script = (
        "import sys, pipeline_src.stages.fetch;"
        "print(sorted({'numpy', 'PIL', 'requests', 'tqdm', 'mlflow', 'skimage', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_users_own_set_is_one_entry_of_params(workspace: Make, stage: Stage) -> None:
    """A folder of photographs, and its name and role under `sets`."""
    project = workspace({"sets": {"Manga": {"role": "evaluation", "folder": "manga"}}})
    photographs(project / "manga", 3)
    done = stage(project, "fetch", "Manga")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Manga: 3 images; your own, recorded as they are\n"
    assert len(read_manifest(project / "results/fetch/evaluation/Manga")) == 3


def test_a_published_set_is_one_entry_of_the_table_of_sets(
    workspace: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rows that the catalogue's command prints, its pixels are compared with the catalogue's too."""
    project = workspace({"sets": {"Manga": {"role": "evaluation"}}})
    photographs(project / "mirror/Manga/HR", 3)
    monkeypatch.chdir(project)
    monkeypatch.setenv("SR_TRACKING", "off")
    monkeypatch.setenv("SR_DATA_MIRROR", "mirror")
    monkeypatch.setitem(SETS, "Manga", KnownSet(3, "Somebody, 2030", evaluation_only=True))
    fetch_stage.fetch("Manga")
    assert capsys.readouterr().out == (
        "Manga: 3 images; no published hashes to compare with, so the pixels are recorded as first seen\n"
    )

    catalogue.print_rows("Manga", Path("mirror/Manga/HR"))
    extended = project / "catalogue.csv"
    extended.write_text(catalogue.CATALOGUE.read_text() + capsys.readouterr().out)
    monkeypatch.setattr(catalogue, "CATALOGUE", extended)
    fetch_stage.fetch("Manga")
    assert capsys.readouterr().out == "Manga: 3 images; the pixels are those of the catalogue\n"

    pixels = np.asarray(Image.open("mirror/Manga/HR/0.png"))
    Image.fromarray(pixels ^ 1).save("mirror/Manga/HR/0.png")
    with pytest.raises(UserError, match=r"lacks 1 of the 3 images of Manga: the first, 0\.png, has other pixels"):
        fetch_stage.fetch("Manga")
