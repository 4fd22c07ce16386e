"""Decoding of images of every kind, and the errors for bad files."""

import hashlib
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, features

from pipeline_src.errors import UserError
from pipeline_src.imaging import images
from pipeline_src.imaging.images import describe, list_images, pixels_sha256, read_image, write_png

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Write a PNG of a kind that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_a_png_round_trip_keeps_every_pixel_and_the_mode(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "made" / "on the way" / "a.png"
    write_png(path, pixels[:, ::-1])  # not contiguous
    read = read_image(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels[:, ::-1])
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_pixels_sha256_is_the_same_for_every_lossless_container(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB)
    paths = [saved(tmp_path / f"a.{suffix}", picture) for suffix in ("png", "bmp", "tif", "ppm")]
    assert {pixels_sha256(path) for path in paths} == {hashlib.sha256(RGB.tobytes()).hexdigest()}
    assert describe(paths[0]) == images.Description(17, 12, "RGB", hashlib.sha256(RGB.tobytes()).hexdigest())


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_keeps_the_high_byte(tmp_path: Path, suffix: str) -> None:
    samples = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)
    np.testing.assert_array_equal(read_image(saved(tmp_path / f"a.{suffix}", Image.fromarray(samples))), samples >> 8)


def test_16_bit_rgb_keeps_the_high_byte(tmp_path: Path) -> None:
    samples = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    (tmp_path / "a.png").write_bytes(png(7, 9, 16, 2, rows))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), samples >> 8)


def test_transparent_pixels_are_blended_with_white(tmp_path: Path) -> None:
    alpha = np.zeros((12, 17), np.uint8)
    alpha[:, :5] = 255
    alpha[:, 5:9] = 128
    path = saved(tmp_path / "a.png", Image.fromarray(np.dstack([RGB, alpha])))
    weight = alpha[..., None] / 255
    np.testing.assert_allclose(read_image(path), RGB * weight + 255 * (1 - weight), atol=1)
    np.testing.assert_array_equal(read_image(path)[:, :5], RGB[:, :5])
    grey = saved(tmp_path / "grey.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]))
    assert read_image(grey).ndim == 2
    np.testing.assert_array_equal(read_image(grey)[:, :5], GREY[:, :5])
    assert (read_image(grey)[:, 9:] == 255).all()


def test_palette_and_cmyk_become_rgb_and_one_bit_becomes_grey(tmp_path: Path) -> None:
    few = (RGB // 128 * 255).astype(np.uint8)
    palette = saved(tmp_path / "a.png", Image.fromarray(few).quantize(8))
    np.testing.assert_array_equal(read_image(palette), few)
    assert read_image(saved(tmp_path / "a.jpg", Image.fromarray(RGB).convert("CMYK"))).shape == (12, 17, 3)
    bits = read_image(saved(tmp_path / "b.png", Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)))
    np.testing.assert_array_equal(bits, np.where(GREY > 127, 255, 0))


def test_exif_orientation_is_applied_but_does_not_change_the_hash(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to see it upright
    turned = saved(tmp_path / "a.png", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_image(turned), np.rot90(RGB, -1))
    assert pixels_sha256(turned) == hashlib.sha256(RGB.tobytes()).hexdigest()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("read", [read_image, describe])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, read: object) -> None:
    path = saved(tmp_path / f"cut.{suffix}", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UserError, match=rf"cut\.{suffix} is broken or cut short .*; replace it"):
        read(path)  # type: ignore[operator]


def test_a_decompression_bomb_is_refused_before_it_is_decompressed(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(1 << 14, (1 << 13) + 1, 8, 0, b"\0"))
    with pytest.raises(UserError, match=r"bomb\.png has more than 134 million pixels; crop it"):
        read_image(tmp_path / "bomb.png")


def test_an_image_of_the_pixel_limit_causes_no_error_or_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    with warnings.catch_warnings(record=True) as raised:
        monkeypatch.setattr(images, "PIXEL_LIMIT", RGB.shape[0] * RGB.shape[1])
        read_image(path)
        monkeypatch.setattr(images, "PIXEL_LIMIT", RGB.shape[0] * RGB.shape[1] - 2)
        with pytest.raises(UserError, match="more than"):
            read_image(path)
    assert raised == []


def test_a_web_page_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<!doctype html><p>Log in</p>")
    with pytest.raises(UserError, match=r"page\.png is not an image that can be read"):
        read_image(tmp_path / "page.png")
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")


def test_formats_that_start_other_programs_are_not_tried(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(UserError, match="is not an image"):
        read_image(tmp_path / "a.png")


def test_32_bit_samples_are_refused(tmp_path: Path) -> None:
    for name, samples in {"int": GREY.astype(np.int32) * 70000, "float": GREY.astype(np.float32)}.items():
        with pytest.raises(UserError, match=rf"{name}\.tif has samples that 16 bits do not hold; save it"):
            read_image(saved(tmp_path / f"{name}.tif", Image.fromarray(samples)))


def test_a_tiff_of_32_bit_integers_has_8_or_16_bits_by_its_largest_sample(tmp_path: Path) -> None:
    small = GREY.astype(np.int32)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.tif", Image.fromarray(small))), GREY)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "b.tif", Image.fromarray(small * 257))), GREY)


def test_a_dark_image_of_16_bits_is_not_taken_for_one_of_8(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.pgm"):
        assert not read_image(saved(tmp_path / name, Image.fromarray(GREY.astype(np.uint16)))).any()


@pytest.mark.parametrize(
    "exif", [b"garbage", b"Exif\0\0garbage", b"\0\x08\0\x02\x01\x12\0\x03garbage", b"MM\0*\0\0\0\x08\0\x05\x01\x12"]
)
def test_malformed_exif_leaves_the_pixels_whole(tmp_path: Path, exif: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "a.webp"):
        path = saved(tmp_path / name, Image.fromarray(RGB), exif=exif, lossless=True)
        np.testing.assert_array_equal(read_image(path), RGB)
        assert f"{name} has" in caplog.messages[-1]
        assert "EXIF" in caplog.messages[-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), exif=exif)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_image(path), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("pixels", [GREY, RGB, GREY.astype(np.uint16) * 257], ids=["grey", "rgb", "grey16"])
def test_a_tiff_is_turned_whole(tmp_path: Path, pixels: np.ndarray) -> None:
    """Pillow 13 scrambles one whose pixels lie in the file as they lie in memory, when it opens the file itself."""
    path = saved(tmp_path / "a.tif", Image.fromarray(pixels), tiffinfo={images.ORIENTATION: 6})
    expected = pixels if pixels.dtype == np.uint8 else GREY
    np.testing.assert_array_equal(read_image(path), np.rot90(expected, -1))


def test_an_avif_is_read(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    assert read_image(saved(tmp_path / "a.avif", Image.fromarray(RGB))).shape == RGB.shape


def test_heif_names_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "heif_is_read", lambda: False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    (tmp_path / "b.heic").write_bytes(b"x" * 99)
    for name in ("a.jpg", "b.heic"):
        with pytest.raises(UserError, match=rf"{name} is HEIF.*pip install pillow-heif"):
            read_image(tmp_path / name)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_image(tmp_path)


def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png is no ordinary file, but a pipe or a device; save the image"):
        read_image(tmp_path / "pipe.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_said_to_be_so(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", Image.fromarray(RGB)).chmod(0)
    with pytest.raises(UserError, match="may not be read by you"):
        read_image(tmp_path / "a.png")


def test_list_images_is_sorted_and_contains_only_images(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "._a.jpeg", "notes.txt", "c.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "d.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpeg", "b.PNG", "c.tiff"]
    with pytest.raises(UserError, match=r"the folder .*nowhere does not exist"):
        list_images(tmp_path / "nowhere")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_uncompressed_planes_of_16_bits_keep_their_high_bytes(tmp_path: Path, byteorder: str, channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (channels, 9, 7), dtype=np.uint16)
    samples[3:] = 65535  # opaque
    extra = ["unassalpha"] if channels == 4 else None
    options = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": extra}
    tifffile.imwrite(tmp_path / "a.tif", samples, byteorder=byteorder, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.moveaxis(samples[:3] >> 8, 0, -1))
