"""What is said of an image is true of the upscaled one."""

from pathlib import Path

import pytest
from PIL import Image, ImageCms, features

from pipeline_src.imaging.images import ORIENTATION, opened
from pipeline_src.upscaling import metadata
from pipeline_src.upscaling.metadata import Metadata, read_metadata, scaled

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, GPS_IFD, EXPOSURE = 0x010F, 0x8825, 0x829A
PICTURE = Image.new("RGB", (16, 12), (10, 200, 30))


def exif_block() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKE] = "ACME"
    exif[metadata.X_RESOLUTION] = exif[metadata.Y_RESOLUTION] = 300.0
    exif[metadata.EXIF_IFD] = {EXPOSURE: 0.01, metadata.PIXEL_WIDTH: 16, metadata.PIXEL_HEIGHT: 12}
    exif[GPS_IFD] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


def read(path: Path) -> Metadata:
    with opened(path) as image:
        image.load()
        return read_metadata(image, path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif"])
def test_exif_is_kept_and_says_what_is_true_of_the_upscaled_image(tmp_path: Path, name: str) -> None:
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow is built without AVIF")
    PICTURE.save(tmp_path / name, exif=exif_block(), icc_profile=SRGB)
    made = scaled(read(tmp_path / name), 3, 36, 48)
    assert made.icc == SRGB
    assert made.exif
    exif = Image.Exif()
    exif.load(made.exif)
    assert exif.get(ORIENTATION, 1) == 1
    assert exif[MAKE] == "ACME"
    assert exif[metadata.X_RESOLUTION] == 900
    details = exif.get_ifd(metadata.EXIF_IFD)
    assert (details[metadata.PIXEL_WIDTH], details[metadata.PIXEL_HEIGHT]) == (36, 48)
    assert details[EXPOSURE] == pytest.approx(0.01)
    assert exif.get_ifd(GPS_IFD)[2] == (1, 2, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp"])
def test_the_resolution_is_scaled_so_that_a_print_keeps_its_size(tmp_path: Path, name: str) -> None:
    PICTURE.save(tmp_path / name, dpi=(300, 300))
    assert scaled(read(tmp_path / name), 3, 48, 36).dpi == pytest.approx((900, 900), abs=0.1)


def test_a_resolution_that_no_file_has_is_not_made_up(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[MAKE] = "ACME"
    for name, kind in (("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("b.jpg", "MPO")):
        PICTURE.save(tmp_path / name, kind, exif=exif.tobytes())
        assert read(tmp_path / name).dpi is None
    PICTURE.save(tmp_path / "a.jpg", exif=exif_block())
    assert read(tmp_path / "a.jpg").dpi == (300, 300)


def test_a_file_that_says_nothing_says_nothing_afterwards(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.jpg"):
        PICTURE.save(tmp_path / name)
        assert scaled(read(tmp_path / name), 3, 48, 36) == Metadata()


def test_the_storage_of_a_tiff_is_not_said_of_another_file(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.tif", exif=exif_block(), dpi=(72, 72))
    exif = Image.Exif()
    exif.load(read(tmp_path / "a.tif").exif or b"")
    assert set(exif) <= {MAKE, 0x011A, 0x011B, 0x0128, metadata.EXIF_IFD, GPS_IFD}


def test_exif_with_a_value_of_a_wrong_type_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x1a\x01\x02\0\x05\0\0\0\x1a\0\0\0\0\0\0\0upper\0"  # a resolution of "upper"
    PICTURE.save(tmp_path / "a.png", exif=exif)
    assert read(tmp_path / "a.png").exif is None
    assert "a.png is malformed and is left out" in caplog.text


def test_a_profile_of_inks_is_not_said_of_colours(tmp_path: Path) -> None:
    PICTURE.convert("CMYK").save(tmp_path / "a.jpg", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:])
    assert read(tmp_path / "a.jpg").icc is None


def test_texts_of_a_png_are_kept(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("parameters", "steps: 20, 日本語")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    PICTURE.save(tmp_path / "a.png", pnginfo=texts)
    assert read(tmp_path / "a.png").texts == {"parameters": "steps: 20, 日本語"}
