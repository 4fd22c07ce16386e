"""What the image formats can hold, against what Pillow writes and reads."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from pipeline_src.errors import UserError
from pipeline_src.upscaling.formats import OUTPUT_FORMATS, OutputFormat, check_size, format_of, formats_with

LIMITED = [each for each in OUTPUT_FORMATS.values() if each.max_side is not None]
NEEDS_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow is built without AVIF")


@NEEDS_AVIF
@pytest.mark.parametrize("output_format", LIMITED, ids=lambda each: each.name)
def test_the_largest_side_is_written_and_read_and_one_more_is_not(output_format: OutputFormat) -> None:
    def round_trip(side: int) -> tuple[int, int]:
        file = BytesIO()
        Image.new("RGB", (side, 1)).save(file, output_format.name)
        return Image.open(file).size

    assert output_format.max_side
    assert round_trip(output_format.max_side) == (output_format.max_side, 1)
    with pytest.raises((OSError, ValueError, OverflowError)):
        round_trip(output_format.max_side + 1)


def test_a_result_that_is_too_large_names_formats_that_hold_it() -> None:
    check_size(OUTPUT_FORMATS["jpeg"], 65500, 1, Path("a.png"))
    with pytest.raises(UserError, match=r"^a\.png would become 66,000×24 pixels, and JPEG holds no more than 65,500"):
        check_size(OUTPUT_FORMATS["jpeg"], 66000, 24, Path("a.png"))
    with pytest.raises(UserError, match=r"choose a file that ends in \.png, \.jpg, \.tif, \.avif"):
        check_size(OUTPUT_FORMATS["webp"], 20000, 24, Path("a.png"))


@NEEDS_AVIF
@pytest.mark.parametrize("output_format", OUTPUT_FORMATS.values(), ids=lambda each: each.name)
def test_every_suffix_names_its_format_in_capitals_too(output_format: OutputFormat) -> None:
    for suffix in output_format.suffixes:
        assert format_of(Path(f"a{suffix}")) is format_of(Path(f"a{suffix.upper()}")) is output_format


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.pdf", "a.ico", "a.eps"])
def test_a_name_of_no_format_names_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match=r"no image format that can be written .* \.png, \.jpg, \.webp, .* or \.ppm"):
        format_of(Path(name))


def test_a_list_of_formats_reads_as_english() -> None:
    assert formats_with(lambda each: each.pages) == ".tif"
    assert formats_with(lambda each: each.sixteen_bits) == ".png, .tif or .ppm"


@NEEDS_AVIF
@pytest.mark.parametrize("output_format", OUTPUT_FORMATS.values(), ids=lambda each: each.name)
def test_transparency_and_frames_are_kept_where_the_table_says_so(output_format: OutputFormat) -> None:
    clear = [
        Image.fromarray(np.dstack([np.zeros((8, 8, 3), np.uint8), np.eye(8, k=k, dtype=np.uint8) * 255]))
        for k in (0, 3)
    ]
    if output_format.alpha:
        file = BytesIO()
        several = {"save_all": True, "append_images": clear[1:]} if output_format.animation else {}
        clear[0].save(file, output_format.name, **several)
        with Image.open(file) as image:
            assert image.convert("RGBA").getchannel("A").getextrema() == (0, 255)
            assert getattr(image, "n_frames", 1) == (2 if output_format.animation else 1)
