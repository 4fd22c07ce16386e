"""Manifests, and the check that no image is in a training and an evaluation set."""

import os
from pathlib import Path

import pytest

from pipeline_src.datasets.manifests import Entry, read_manifest, refuse_overlap, write_manifest
from pipeline_src.errors import UserError


def manifest(folder: Path, *hashes: str) -> Path:
    folder.mkdir(parents=True)
    write_manifest(folder, [Entry(f"{h}.png", 1, 1, "L", h, "somewhere", "no") for h in hashes])
    return folder


def test_an_image_in_a_training_and_an_evaluation_set_is_refused(tmp_path: Path) -> None:
    one, two = manifest(tmp_path / "training/one", "a", "b"), manifest(tmp_path / "training/two", "c", "b")
    fine, leak = manifest(tmp_path / "evaluation/fine", "d"), manifest(tmp_path / "evaluation/leak", "e", "c", "a")
    refuse_overlap([one, two], [fine])
    refuse_overlap([one, two], [])
    with pytest.raises(
        UserError, match=r"training/two/c\.png is also .*evaluation/leak/c\.png, and 1 more are shared; take"
    ):
        refuse_overlap([one, two], [fine, leak])


def test_a_missing_or_damaged_manifest_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone/manifest\.csv does not exist; run the stage fetch@gone"):
        refuse_overlap([tmp_path / "gone"], [])
    (manifest(tmp_path / "bad", "a") / "manifest.csv").write_text("file,width\na.png,x\n")
    with pytest.raises(UserError, match=r"bad/manifest\.csv lacks the column height; run the stage fetch@bad \(dvc"):
        read_manifest(tmp_path / "bad")


@pytest.mark.parametrize("name", [b"=cmd.png", b"-\xff.png", b"\t\r\n.png", b"'+a.png", "×.png".encode()])
def test_every_name_of_a_file_survives(tmp_path: Path, name: bytes) -> None:
    entries = [Entry(os.fsdecode(name), 3, 2, "RGB", "0", "-here", "no")]
    path = write_manifest(tmp_path, entries)
    assert read_manifest(tmp_path) == entries
    assert path.read_bytes().splitlines()[1].lstrip(b'"')[:1] not in (b"=", b"-", b"\t", b"+")
    assert b",'-here,no" in path.read_bytes()
