"""One bad file stops no other, and what cannot be held is said before any computing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize
from pipeline_src.upscaling.batch import Job, Resizing, Whole, run_batch
from pipeline_src.upscaling.formats import format_of

PHOTOGRAPH = Image.fromarray(photograph("chelsea.png")[100:110, 80:92])


class Bicubic:
    """Doubles images, and counts how many."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, colours: np.ndarray) -> np.ndarray:
        self.images += 1
        return imresize(colours, 2)


@pytest.fixture
def bicubic() -> Bicubic:
    return Bicubic()


@pytest.fixture
def run(tmp_path: Path, bicubic: Bicubic) -> Callable[..., None]:
    """Double images of ``tmp_path``, given as source and target."""

    def double(*names: tuple[str, str]) -> None:
        made = [Job(tmp_path / source, tmp_path / target, format_of(Path(target))) for source, target in names]
        run_batch(made, Resizing(lambda height, width: Whole(2, bicubic)), "double")

    return double


def test_the_others_are_done_and_the_broken_one_is_named_at_the_end(
    run: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        PHOTOGRAPH.save(tmp_path / name)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:200])
    (tmp_path / "d.png").write_text("no image")
    with pytest.raises(UserError, match=r"^2 of 4 images could not be done: .*d\.png, .*b\.png$"):
        run(("a.png", "A.png"), ("b.png", "B.png"), ("c.png", "C.png"), ("d.png", "D.png"))
    assert Image.open(tmp_path / "A.png").size == Image.open(tmp_path / "C.png").size == (24, 20)
    assert not (tmp_path / "B.png").exists()
    assert "b.png is broken or cut short" in caplog.text
    assert "d.png is not an image" in caplog.text


def test_a_result_that_cannot_be_written_stops_no_other(run: Callable[..., None], tmp_path: Path) -> None:
    PHOTOGRAPH.save(tmp_path / "a.png")
    (tmp_path / "A.png").mkdir()
    with pytest.raises(UserError, match=r"^1 of 2 images could not be done"):
        run(("a.png", "A.png"), ("a.png", "B.png"))
    assert (tmp_path / "B.png").is_file()


@pytest.mark.parametrize("target", ["a.jpg", "a.webp", "a.gif"])
def test_a_format_that_is_too_small_is_refused_before_any_computing(
    run: Callable[..., None], bicubic: Bicubic, tmp_path: Path, target: str
) -> None:
    Image.new("RGB", (33000, 1)).save(tmp_path / "wide.png")
    with pytest.raises(UserError, match=r"would become 66,000×2 pixels, and .* choose a file that ends in \.png"):
        run(("wide.png", target))
    assert bicubic.images == 0


def test_transparency_that_is_nowhere_seen_goes_to_a_jpeg_without_a_word(
    run: Callable[..., None], bicubic: Bicubic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = PHOTOGRAPH.copy()
    image.putalpha(255)
    image.save(tmp_path / "opaque.png")
    run(("opaque.png", "a.jpg"))
    assert Image.open(tmp_path / "a.jpg").mode == "RGB"
    assert not caplog.messages
    image.putpixel((3, 4), (0, 0, 0, 254))
    image.save(tmp_path / "clear.png")
    with pytest.raises(UserError, match=r"clear\.png has transparency, which \.jpg cannot hold"):
        run(("clear.png", "b.jpg"))
    assert bicubic.images == 1


def test_frames_that_a_format_cannot_hold_are_told(
    run: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    several = {"save_all": True, "append_images": [PHOTOGRAPH.rotate(90 * turn) for turn in (1, 2)]}
    PHOTOGRAPH.save(tmp_path / "a.gif", **several)
    PHOTOGRAPH.save(tmp_path / "a.tif", **several)
    run(("a.gif", "frames.png"), ("a.tif", "pages.tif"))
    assert [Image.open(tmp_path / name).n_frames for name in ("frames.png", "pages.tif")] == [3, 3]
    assert not caplog.messages
    run(("a.gif", "one.jpg"), ("a.tif", "one.png"))
    assert "a.gif has 3 frames, and" in caplog.messages[0]
    assert "a.tif has 3 pages, and" in caplog.messages[1]
    assert caplog.messages[1].endswith("will hold the first alone; a file that ends in .tif holds all")


def test_an_animation_that_memory_would_not_hold_is_refused(
    run: Callable[..., None], bicubic: Bicubic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PHOTOGRAPH.save(tmp_path / "a.gif", save_all=True, append_images=[PHOTOGRAPH.rotate(90)])
    monkeypatch.setattr("pipeline_src.upscaling.batch.ANIMATION_LIMIT", 2 * 24 * 20 - 1)
    with pytest.raises(UserError, match=r"a\.gif has 2 frames, .*; split it"):
        run(("a.gif", "b.gif"))
    assert bicubic.images == 0


def test_an_image_that_has_no_plan_stops_no_other(tmp_path: Path, bicubic: Bicubic) -> None:
    """One that is as large as the size that was asked for, for example."""

    def plan(height: int, width: int) -> Whole:
        if width > 12:
            raise UserError("it is large enough")
        return Whole(2, bicubic)

    PHOTOGRAPH.save(tmp_path / "a.png")
    PHOTOGRAPH.resize((13, 9)).save(tmp_path / "b.png")
    made = [Job(tmp_path / name, tmp_path / "out" / name, format_of(Path(name))) for name in ("a.png", "b.png")]
    with pytest.raises(UserError, match=r"^1 of 2 images could not be done: .*b\.png$"):
        run_batch(made, Resizing(plan), "double")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.png"]


def test_an_image_that_memory_does_not_hold_is_answered_with_what_helps(tmp_path: Path) -> None:
    def too_large(colours: np.ndarray) -> np.ndarray:
        raise MemoryError

    PHOTOGRAPH.save(tmp_path / "a.png")
    job = Job(tmp_path / "a.png", tmp_path / "b.png", format_of(Path("b.png")))
    with pytest.raises(UserError, match=r"a\.png needs more memory than there is; choose a smaller --width$"):
        run_batch([job], Resizing(lambda *_: Whole(2, too_large), smaller="choose a smaller --width"), "double")


def test_without_a_terminal_there_is_no_progress_bar(
    run: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    PHOTOGRAPH.save(tmp_path / "a.png")
    run(("a.png", "A.png"), ("a.png", "B.png"))
    assert capfd.readouterr() == ("", "")
