"""Frames, pages, depth and transparency of images of every kind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.images import ORIENTATION
from pipeline_src.upscaling.photographs import Frame
from pipeline_src.upscaling.png import write_wide_png
from pipeline_src.upscaling.reading import Header, read_frames, read_header

RGB = photograph("chelsea.png")[100:112, 80:97]
GREY = RGB[..., 0]


def frames(path: Path, **options: bool) -> list[Frame]:
    return [frame for frame, _ in read_frames(path, **{"first_only": False, "wide": True, **options})]


def only(path: Path, **options: bool) -> Frame:
    (frame,) = frames(path, **options)
    return frame


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def animation(path: Path, count: int = 3, **options: object) -> Path:
    first, *rest = (Image.fromarray(np.roll(RGB, 4 * index, axis=1)) for index in range(count))
    return saved(path, first, save_all=True, append_images=rest, **options)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.avif"])
def test_every_frame_of_an_animation_is_read_with_its_time(tmp_path: Path, name: str) -> None:
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    path = animation(tmp_path / name, duration=[100, 200, 300])
    assert read_header(path) == Header(17, 12, 3, name[2:].upper())
    read = frames(path)
    assert [frame.milliseconds for frame in read] == [100, 200, 300]
    for index, frame in enumerate(read):
        assert np.abs(frame.colours.astype(int) - np.roll(RGB, 4 * index, axis=1)).mean() < 8  # 256 colours, or lossy
    assert len(frames(path, first_only=True)) == 1


def test_pages_have_sizes_of_their_own(tmp_path: Path) -> None:
    pages = [Image.fromarray(RGB), Image.fromarray(RGB[:5]), Image.fromarray(GREY.astype(np.uint16) * 257)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read_header(tmp_path / "a.tif") == Header(17, 12, 3, "TIFF")
    read = frames(tmp_path / "a.tif")
    np.testing.assert_array_equal(read[1].colours, RGB[:5])
    np.testing.assert_array_equal(read[2].colours, GREY.astype(np.uint16) * 257)


def test_a_default_image_of_a_png_is_not_a_frame(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", default_image=True)
    assert read_header(path).frames == 2
    np.testing.assert_array_equal(frames(path)[0].colours, np.roll(RGB, 4, axis=1))


def test_the_second_picture_of_a_phone_is_no_frame(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.mpo", Image.fromarray(RGB), format="MPO", save_all=True, append_images=[Image.fromarray(GREY)]
    )
    assert read_header(path).frames == 1
    assert only(path).colours.ndim == 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_the_header_has_the_size_of_the_upright_image(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = saved(tmp_path / name, Image.fromarray(RGB), exif=exif)
    header = read_header(path)
    assert (header.width, header.height, header.frames) == (12, 17, 1)
    frame = only(path)
    assert (frame.width, frame.height) == (12, 17)
    assert np.abs(frame.colours.astype(int) - np.rot90(RGB, -1)).mean() < 20  # lossy


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_are_kept_or_rounded(tmp_path: Path, channels: int) -> None:
    samples = np.dstack([RGB, GREY])[..., -channels:].astype(np.uint16) * 257 + 100
    write_wide_png(tmp_path / "a.png", samples)
    frame = only(tmp_path / "a.png")
    colours = {2: samples[..., 0], 3: samples, 4: samples[..., :3]}[channels]
    np.testing.assert_array_equal(frame.colours, colours)
    assert (frame.alpha is None) == (channels == 3)
    np.testing.assert_array_equal(only(tmp_path / "a.png", wide=False).colours, colours // 257)


def test_a_colour_can_be_transparent(tmp_path: Path) -> None:
    for dtype, image in ((np.uint8, GREY), (np.uint16, GREY.astype(np.uint16) * 257)):
        key = int(image[3, 4])
        frame = only(saved(tmp_path / "a.png", Image.fromarray(image), transparency=key))
        np.testing.assert_array_equal(frame.alpha, np.where(image == key, 0, np.iinfo(dtype).max))
        np.testing.assert_array_equal(frame.colours, image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_is_grey_or_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(Image.fromarray(RGB), *profiles, outputMode="LAB")
    else:
        image = Image.fromarray(RGB).convert(mode)
    frame = only(saved(tmp_path / "a.tif", image))
    assert frame.colours.ndim == (2 if mode in ("1", "L", "LA") else 3)
    assert (frame.alpha is not None) == mode.endswith("A")
    if mode not in ("1", "L", "LA", "P"):
        assert np.abs(frame.colours.astype(int) - RGB).mean() < 4


def test_inks_are_converted_through_their_profile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "a.tif", Image.fromarray(RGB).convert("CMYK"), icc_profile=srgb[:16] + b"CMYK" + srgb[20:])
    assert np.abs(only(path).colours.astype(int) - RGB).max() < 4  # not by this profile, which is broken
    assert "the colour profile of" in caplog.text


def test_a_broken_page_is_said_to_be_so(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.tif")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(UserError, match=r"a\.tif is broken or cut short"):
        frames(path)
