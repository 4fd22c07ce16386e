"""Every format holds what its entry says, of one frame and of several."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.upscaling.formats import OUTPUT_FORMATS
from pipeline_src.upscaling.metadata import Metadata, read_metadata
from pipeline_src.upscaling.photographs import Frame, Photograph
from pipeline_src.upscaling.reading import read_frames
from pipeline_src.upscaling.writing import write_photograph

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RGB = photograph("chelsea.png")[100:112, 80:97]
WIDE = RGB.astype(np.uint16) * 257 + 100
ALPHA = np.where(np.arange(17) < 9, 0, 255).astype(np.uint8)[None].repeat(12, axis=0)
EXIF = Image.Exif()
EXIF[0x010F] = "ACME"
SAID = Metadata(EXIF.tobytes(), SRGB, (300, 300), {"Author": "me"})


def written(path: Path, *frames: Frame, metadata: Metadata | None = None, **options: int) -> list[Frame]:
    """Write frames and read them again."""
    output_format = next(each for each in OUTPUT_FORMATS.values() if path.suffix in each.suffixes)
    write_photograph(Photograph([*frames], metadata or Metadata()), path, output_format, **options)
    return [frame for frame, _ in read_frames(path, first_only=False, wide=True)]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("colours", [WIDE, WIDE[..., 0]], ids=["rgb", "grey"])
def test_16_bits_are_written(tmp_path: Path, suffix: str, colours: np.ndarray) -> None:
    (read,) = written(tmp_path / f"a{suffix}", Frame(colours))
    np.testing.assert_array_equal(read.colours, colours)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_written_with_transparency(tmp_path: Path, suffix: str) -> None:
    alpha = WIDE[..., 1]
    (read,) = written(tmp_path / f"a{suffix}", Frame(WIDE, alpha))
    np.testing.assert_array_equal(read.colours, WIDE)
    np.testing.assert_array_equal(read.alpha, alpha)


def test_pages_of_different_kinds_are_written(tmp_path: Path) -> None:
    pages = Frame(RGB), Frame(WIDE[:5]), Frame(WIDE[..., 0]), Frame(RGB[:, :9], ALPHA[:, :9])
    for page, read in zip(pages, written(tmp_path / "a.tif", *pages), strict=True):
        np.testing.assert_array_equal(read.colours, page.colours)
        assert (read.alpha is None) == (page.alpha is None)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("clear", [False, True])
def test_animations_are_written(tmp_path: Path, suffix: str, clear: bool) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    frames = [
        Frame(np.roll(RGB, 5 * k, axis=1), np.roll(ALPHA, 5 * k, axis=1) if clear else None, 100 * (k + 1))
        for k in range(3)
    ]
    read = written(tmp_path / f"a{suffix}", *frames, metadata=Metadata(loop=2))
    assert [frame.milliseconds for frame in read] == [100, 200, 300]
    for before, after in zip(frames, read, strict=True):
        assert before.alpha is None or np.abs(after.alpha.astype(int) - before.alpha).max() < 8
        seen = before.alpha == 255 if before.alpha is not None else np.ones((12, 17), bool)
        assert np.abs(after.colours[seen].astype(int) - before.colours[seen]).mean() < 12  # 256 colours, or lossy


@pytest.mark.parametrize(("loop", "gif", "others"), [(None, None, 1), (0, 0, 0), (3, 3, 3)])
def test_an_animation_is_repeated_as_often_as_before(
    tmp_path: Path, loop: int | None, gif: int | None, others: int
) -> None:
    frames = Frame(RGB, milliseconds=100), Frame(RGB[::-1], milliseconds=100)
    for suffix, expected in ((".gif", gif), (".png", others), (".webp", others)):
        written(tmp_path / f"a{suffix}", *frames, metadata=Metadata(loop=loop))
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert image.info.get("loop") == expected


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS.values(), ids=lambda each: each.name)
def test_metadata_is_kept_where_the_table_says_so(
    tmp_path: Path, output_format: object, caplog: pytest.LogCaptureFixture
) -> None:
    if output_format.name == "AVIF" and not features.check("avif"):  # type: ignore[attr-defined]
        pytest.skip("this Pillow is built without AVIF")
    path, keeps = tmp_path / f"a{output_format.suffixes[0]}", output_format.keeps  # type: ignore[attr-defined]
    written(path, Frame(RGB), metadata=SAID)
    with Image.open(path) as image:
        image.load()
        read = read_metadata(image, path)
    assert (read.exif is not None and b"ACME" in read.exif) == ("exif" in keeps)
    assert (read.icc == SRGB) == ("icc" in keeps)
    assert (read.dpi == pytest.approx((300, 300), abs=0.1)) == ("dpi" in keeps)
    assert read.texts == ({"Author": "me"} if "texts" in keeps else {})
    assert ("cannot hold the colour profile" in caplog.text) == ("icc" not in keeps)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_metadata_is_kept_with_16_bits(tmp_path: Path, suffix: str) -> None:
    for colours in (WIDE, WIDE[..., 0]):
        path = tmp_path / f"a{suffix}"
        written(path, Frame(colours), metadata=SAID)
        with Image.open(path) as image:
            image.load()
            read = read_metadata(image, path)
        assert read.icc == SRGB
        assert read.dpi == pytest.approx((300, 300), abs=0.1)
        assert b"ACME" in (read.exif or b"")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_a_lower_quality_makes_a_smaller_file(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    sizes = []
    for quality in (20, 90):
        written(tmp_path / f"a{suffix}", Frame(photograph("chelsea.png")[90:190, 80:180]), quality=quality)
        sizes.append((tmp_path / f"a{suffix}").stat().st_size)
    assert sizes[0] < sizes[1] / 2


def test_a_jpeg_without_room_for_the_exif_is_written_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x9286] = b"x" * 70000
    written(tmp_path / "a.jpg", Frame(RGB), metadata=Metadata(exif.tobytes()))
    assert "no more than 64 KiB" in caplog.text
    with Image.open(tmp_path / "a.jpg") as image:
        assert not image.getexif()


@pytest.mark.parametrize("dpi", [(float("nan"), 300), (0, 0), (1e9, 1e9)])
def test_a_resolution_that_is_none_is_left_out(
    tmp_path: Path, dpi: tuple[float, float], caplog: pytest.LogCaptureFixture
) -> None:
    for suffix in (".png", ".jpg", ".tif", ".bmp"):
        caplog.clear()
        written(tmp_path / f"a{suffix}", Frame(RGB), metadata=Metadata(dpi=dpi))
        assert "the resolution is left out" in caplog.text


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png", tmp_path / f"{'a' * 260}.png"):
        with pytest.raises(UserError, match=r"\.png cannot be written \(.*\); choose another --output"):
            written(path, Frame(RGB))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.png"]
