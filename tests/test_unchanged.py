"""Edits of params.yaml and of code while a stage runs."""

from pathlib import Path

import pytest

from pipeline_src.errors import UserError
from pipeline_src.unchanged import Inputs

FILES = {
    "dvc.yaml": """
stages:
  train:
    foreach: ${systems}
    do:
      cmd: train
      deps: ["pipeline_src/train.py", "pipeline_src/models/${item.net.model}", "results/train.h5"]
      params: [seed, "systems.${key}.net"]
  report: {cmd: report, deps: [pipeline_src/report.py], params: [title]}
""",
    "params.yaml": "seed: 1\ntitle: all\nsystems: {a: {net: {model: abpn}, qat: 1}, b: {net: {model: carn}}}\n",
    "pipeline_src/train.py": "train",
    "pipeline_src/report.py": "report",
    "pipeline_src/models/abpn/net.py": "abpn",
    "pipeline_src/models/carn/net.py": "carn",
    "results/train.h5": "images",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("params.yaml", "seed: 1", "seed: 2"),
        ("params.yaml", "model: abpn", "model: carn"),
        ("params.yaml", "seed", "seed: ["),  # no YAML any more
        ("pipeline_src/train.py", "train", "train more"),
        ("pipeline_src/models/abpn/net.py", "abpn", "another"),
    ],
)
def test_an_edit_of_what_a_stage_depends_on_is_refused(file: str, old: str, new: str) -> None:
    inputs = Inputs("train", "a")
    inputs.refuse_changes()
    edit(file, old, new)
    with pytest.raises(UserError, match=rf"{file} has changed while train@a ran, .* run it again"):
        inputs.refuse_changes()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("params.yaml", "title: all", "title: none"),
        ("params.yaml", "qat: 1", "qat: 2"),
        ("params.yaml", "seed: 1", "# a comment\nseed: 1"),
        ("pipeline_src/report.py", "report", "report more"),
        ("pipeline_src/models/carn/net.py", "carn", "another"),
        ("results/train.h5", "images", "others"),  # which a stage of DVC writes, and locks
    ],
)
def test_other_edits_are_not(file: str, old: str, new: str) -> None:
    inputs = Inputs("train", "a")
    edit(file, old, new)
    inputs.refuse_changes()


def test_a_stage_that_is_not_repeated_and_one_outside_a_repository() -> None:
    report = Inputs("report", None)
    edit("params.yaml", "title: all", "title: none")
    with pytest.raises(UserError, match=r"params\.yaml has changed while report ran"):
        report.refuse_changes()
    Path("dvc.yaml").unlink()
    Inputs("train", "a").refuse_changes()


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new, 1))
