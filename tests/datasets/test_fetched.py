"""The manifest, and not the folder, says what a fetched set holds."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from shared import fetched, photograph

from pipeline_src.datasets.fetched import images_of
from pipeline_src.datasets.manifests import MANIFEST
from pipeline_src.errors import UserError
from pipeline_src.paths import own_lr_folder

PHOTOGRAPH = Image.fromarray(photograph("coffee.png")[:50, :60])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fetched set of a colour and a grey image."""
    return fetched(tmp_path, "holiday", b=PHOTOGRAPH, a=PHOTOGRAPH.transpose(Image.Transpose.ROTATE_90).convert("L"))


def test_the_images_of_the_manifest_are_returned_by_name(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    assert images_of(folder, 2) == [folder / "a.png", folder / "b.png"]


def test_another_copy_of_the_same_pixels_is_the_same_image(folder: Path) -> None:
    PHOTOGRAPH.save(folder / "b.png", compress_level=0)
    assert images_of(folder, 1) == [folder / "a.png", folder / "b.png"]


def cut(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def with_an_lr_image(folder: Path) -> None:
    own_lr_folder(folder, 2).mkdir(parents=True)
    PHOTOGRAPH.save(own_lr_folder(folder, 2) / "a.png")


def with_other_rows(change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        rows = (folder / MANIFEST).read_text().splitlines(keepends=True)
        (folder / MANIFEST).write_text("".join(change(rows)))

    return apply


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "image more": (lambda at: PHOTOGRAPH.save(at / "c.jpg"), r"c\.jpg is not in the manifest of its set; remove"),
    "image less": (lambda at: (at / "a.png").unlink(), r"a\.png is in the manifest of its set, but does not exist"),
    "renamed": (lambda at: (at / "a.png").rename(at / "c.png"), r"c\.png is not in the manifest of its set"),
    "swapped": (lambda at: shutil.copy(at / "a.png", at / "b.png"), r"b\.png has other pixels than its manifest"),
    "image cut short": (lambda at: cut(at / "b.png", 0.6), r"b\.png is broken or cut short"),
    "LR image more": (with_an_lr_image, r"LR/X2/a\.png is not in the manifest of its set"),
    "no manifest": (lambda at: (at / MANIFEST).unlink(), r"manifest\.csv does not exist; run the stage fetch@holiday"),
    "empty manifest": (
        lambda at: (at / MANIFEST).write_bytes(b""),
        r"manifest\.csv is empty; run the stage fetch@holiday",
    ),
    "manifest of NUL": (
        lambda at: (at / MANIFEST).write_bytes(b"\0" * 400),
        r"manifest\.csv is damaged: it holds NUL bytes; run",
    ),
    "manifest cut short": (
        lambda at: cut(at / MANIFEST, 0.6),
        r"manifest\.csv is damaged: it ends in the middle of a line; run",
    ),
    "no rows": (with_other_rows(lambda rows: rows[:1]), r"manifest\.csv lists no image; run the stage"),
    "row less": (with_other_rows(lambda rows: rows[:-1]), r"\.png is not in the manifest of its set"),
    "row twice": (with_other_rows(lambda rows: [*rows, rows[-1]]), r"manifest\.csv lists an image twice"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_as_the_manifest_says_is_one_sentence(folder: Path, damage: str) -> None:
    apply, sentence = DAMAGE[damage]
    apply(folder)
    with pytest.raises(UserError) as error:
        images_of(folder, 2)
    assert re.search(sentence, str(error.value))
    assert "\n" not in str(error.value)
