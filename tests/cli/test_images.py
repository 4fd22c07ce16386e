"""Which image goes to which file."""

import os
from pathlib import Path

import pytest
from PIL import Image

from pipeline_src.cli import images
from pipeline_src.cli.images import Wanted, jobs
from pipeline_src.errors import UserError
from pipeline_src.upscaling.formats import OUTPUT_FORMATS, format_name

PICTURE = Image.new("RGB", (4, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images in subfolders, and other files."""
    for name in ("in/a.png", "in/x/b.jpg", "in/x/y/c.PNG", "in/.hidden/d.png", "single.png"):
        Path(tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        PICTURE.save(tmp_path / name)
    (tmp_path / "in/notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs(*inputs: str, output: str | None, **wanted: object) -> dict[str, str]:
    made = jobs([*map(Path, inputs)], output, "x4", Wanted(**wanted))
    return {str(job.source): str(job.target) for job in made}


def test_subfolders_are_walked_and_mirrored() -> None:
    expected = {"in/a.png": "out/a.png", "in/x/b.jpg": "out/x/b.png", "in/x/y/c.PNG": "out/x/y/c.png"}
    assert pairs("in", output="out") == expected


def test_folders_that_are_links_are_followed_but_not_in_circles(folder: Path) -> None:
    (folder / "linked").mkdir()
    (folder / "linked/in").symlink_to(folder / "in")
    (folder / "in/x/up").symlink_to(folder / "in")
    (folder / "in/again").symlink_to(folder / "in/x")
    assert pairs("linked", output="out") == {
        "linked/in/a.png": "out/in/a.png",
        "linked/in/x/b.jpg": "out/in/x/b.png",
        "linked/in/x/y/c.PNG": "out/in/x/y/c.png",
    }


def test_an_empty_folder_among_others_is_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "empty").mkdir()
    assert len(pairs("in/x", "empty", output="out")) == 2
    assert caplog.messages[0].startswith("empty holds no images (.png")
    with pytest.raises(UserError, match=r"^empty holds no images"):
        pairs("empty", output="out")


def test_results_inside_the_folder_are_not_upscaled_again(folder: Path) -> None:
    PICTURE.save(folder / "in/x/old.png")
    (folder / "in/out").mkdir()
    PICTURE.save(folder / "in/out/a.png")
    assert "in/out/a.png" not in pairs("in", output="in/out")


@pytest.mark.parametrize(("output", "target"), [("in", "in/single.png"), ("new/", "new/single.png"), ("new", "new")])
def test_one_image_goes_into_a_folder_that_exists_or_is_named_as_one(output: str, target: str) -> None:
    assert pairs("single.png", output=output, file_format="png") == {"single.png": target}


def test_a_folder_may_have_the_name_of_an_image_if_that_is_meant(folder: Path) -> None:
    expected = {"single.png": "x.png/single.png", "in/a.png": "x.png/a.png"}
    assert pairs("single.png", "in/a.png", output="x.png/") == expected
    (folder / "x.png").mkdir()
    assert pairs("single.png", "in/a.png", output="x.png") == expected


def test_without_an_output_results_lie_beside_the_inputs(folder: Path) -> None:
    assert pairs("single.png", "in/x", output=None) == {
        "single.png": "single_x4.png",
        "in/x/b.jpg": "in/x_x4/b.png",
        "in/x/y/c.PNG": "in/x_x4/y/c.png",
    }
    assert pairs("in/x/b.jpg", output=None, file_format="webp") == {"in/x/b.jpg": "in/x/b_x4.webp"}
    PICTURE.save(folder / "wrong.jpg", "GIF", save_all=True, append_images=[Image.new("RGB", (4, 3), "red")])
    assert pairs("wrong.jpg", output=None) == {"wrong.jpg": "wrong_x4.gif"}


def test_the_folder_one_stands_in_has_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "in/x/y")
    assert pairs(".", output=None) == {"c.PNG": str(folder / "in/x/y_x4/c.png")}


def test_a_format_can_be_chosen() -> None:
    assert [format_name(text) for text in ("jpg", ".TIF", "PNG", "jp2")] == ["jpeg", "tiff", "png", "jpeg2000"]
    assert {format_name(name) for name in OUTPUT_FORMATS} == set(OUTPUT_FORMATS)
    assert pairs("in/x/b.jpg", output="new/", file_format="webp") == {"in/x/b.jpg": "new/b.webp"}
    (job,) = jobs([Path("single.png")], "name without suffix", wanted=Wanted("jpeg", 80))
    assert (job.output_format.name, job.quality) == ("JPEG", 80)


def test_several_frames_keep_their_format_in_a_folder(folder: Path) -> None:
    for name, kind in (("a.gif", "GIF"), ("a.tif", "TIFF"), ("a.jpg", "MPO")):  # phones write MPO in a .jpg
        PICTURE.save(folder / name, kind, save_all=True, append_images=[Image.new("RGB", (4, 3), "red")])
    assert pairs("a.gif", "a.tif", output="out") == {"a.gif": "out/a.gif", "a.tif": "out/a.tif"}
    assert pairs("a.jpg", output="out/") == {"a.jpg": "out/a.png"}
    assert pairs("a.gif", output="out/", file_format="jpeg") == {"a.gif": "out/a.jpg"}


def test_skipped_images_are_named(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_src.imaging.images.heif_is_read", lambda: False)
    for name in ("phone.HEIC", "raw.NEF", "drawing.svg"):
        (folder / "in" / name).touch()
    assert len(pairs("in", output="out")) == 3
    (message,) = caplog.messages
    assert message == (
        "skipped, because images of this format are not read (HEIF is, after `pip install pillow-heif`): "
        "in/drawing.svg, in/phone.HEIC, in/raw.NEF"
    )


@pytest.mark.parametrize(
    ("inputs", "output", "options", "sentence"),
    [
        (["in"], "single.png", {}, "single.png is a file, and a folder is needed"),
        (["single.png"], "in/a.png/x.png", {}, "in/a.png is a file, so in/a.png/x.png cannot be in it"),
        (["single.png"], "single.png", {}, "single.png is the input itself"),
        (["in/x"], "in/notes.txt/", {}, "in/notes.txt/ is a file|in/notes.txt is a file"),
        (["in", "in/x/b.jpg", "single.png", "in/x/../a.png"], "out", {}, r"2 images would all be written to out/a.png"),
        (["single.png", "in/a.png"], "x.png", {}, "x.png has the name of an image, but --output must be a folder here"),
        (["in"], "new/x.JPG", {}, "x.JPG has the name of an image, but --output must be a folder here"),
        (["single.png"], "/dev/null", {"file_format": "png"}, "/dev/null is no ordinary file, which would be replaced"),
        (["in/.hidden/none"], "out", {}, "no image format that can be written"),
        (["in/x"], "out", {"quality": 80}, "--quality is for jpeg, webp and avif"),
        (["single.png"], "a.png", {"file_format": "jpeg"}, "a.png is no name of a jpeg file"),
    ],
)
def test_a_mistake_is_one_sentence(inputs: list[str], output: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        pairs(*inputs, output=output, **options)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_before_any_computing(folder: Path) -> None:
    (folder / "mine").mkdir(mode=0o500)
    for output in ("mine/a.png", "mine/new/", "mine"):
        with pytest.raises(UserError, match="you cannot write to mine; choose an --output"):
            pairs("single.png", output=output)


@pytest.mark.parametrize("text", ["0", "101", "-1", "best"])
def test_a_quality_is_from_1_to_100(text: str) -> None:
    assert images.quality("100") == 100
    with pytest.raises(Exception, match="is not a whole number from 1 to 100"):
        images.quality(text)
