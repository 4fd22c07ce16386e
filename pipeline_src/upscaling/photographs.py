"""Resizing users' photographs of any mode, with their transparency, their colour profile and a note of their origin."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file
from pipeline_src.imaging.colour import to_grey
from pipeline_src.imaging.images import GREY
from pipeline_src.imaging.imresize import imresize

WITHOUT_ALPHA = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm")
JPEG_QUALITY = 95
# Text chunk of a downscaled PNG: size of the photograph, scale and system, as in "640x480 by 4 for car_x4".
SOURCE_KEY = "super_resolution"
SOURCE = re.compile(r"(\d{1,6})x(\d{1,6}) by (\d) for ([\w-]+)")


def resized(resize: Callable[[np.ndarray], np.ndarray], image: Image.Image, scale: float) -> Image.Image:
    """Resize an upright 8-bit image of any mode.

    L and LA stay grey, and all other modes become RGB. Transparency is resized with bicubic, and the colour profile is
    copied.

    Args:
        resize: maps uint8 H×W×3 to uint8 ⌈H·scale⌉×⌈W·scale⌉×3.
        image: the image.
        scale: factor of ``resize``; above 1 enlarges.
    """
    colours = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    rgb = resize(np.ascontiguousarray(colours[..., :3]))
    result = Image.fromarray(to_grey(rgb) if image.mode in GREY else rgb)
    if image.has_transparency_data:
        result.putalpha(Image.fromarray(imresize(colours[..., 3], scale)))
    if image.mode != "CMYK" and (profile := image.info.get("icc_profile")):  # a CMYK profile does not fit RGB
        result.info["icc_profile"] = profile
    return result


def refuse_lost_transparency(image: Image.Image, source: Path, target: Path) -> None:
    """Check that the format of ``target`` can hold the transparency of ``image``.

    Raises:
        UserError: if it cannot.
    """
    if image.has_transparency_data and target.suffix.lower() in WITHOUT_ALPHA:
        raise UserError(f"{source} has transparency, which {target.suffix} cannot hold; choose a .png output")


def note_source(small: Image.Image, photograph: Image.Image, scale: int, system: str) -> None:
    """Record the photograph's size, the scale and the system in a downscaled image, from where they go into its PNG."""
    small.info[SOURCE_KEY] = f"{photograph.width}x{photograph.height} by {scale} for {system}"


def cropped_to_source(result: Image.Image, small: Image.Image, scale: int, source: Path) -> Image.Image:
    """Crop an upscaled image to the size of the photograph, if the PNG of the small image records it.

    The upscaled image can be larger than the photograph because the size of the small image was rounded up.

    Args:
        result: the upscaled image.
        small: the image that was upscaled.
        scale: the scale by which it was upscaled.
        source: file of the small image, for the error message.

    Raises:
        UserError: if ``small`` was made to be upscaled by another scale.
    """
    note = SOURCE.fullmatch(str(small.info.get(SOURCE_KEY, "")))
    if not note:
        return result
    width, height, noted_scale = (int(part) for part in note.groups()[:3])
    if noted_scale != scale:
        raise UserError(
            f"{source} was made to be upscaled ×{noted_scale} by {note[4]}, not ×{scale}; choose --model {note[4]}"
        )
    unchanged = (-(-width // scale), -(-height // scale)) == small.size  # otherwise it was cropped or resized later
    return result.crop((0, 0, width, height)) if unchanged else result


def save(image: Image.Image, target: Path) -> None:
    """Write an image with the colour profile and the note in its ``info``, completely or not at all.

    Raises:
        UserError: if Pillow does not know the format, or the file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    if SOURCE_KEY in image.info:
        texts.add_text(SOURCE_KEY, image.info[SOURCE_KEY])
    try:
        with whole_file(target) as temporary:
            image.save(temporary, quality=JPEG_QUALITY, icc_profile=image.info.get("icc_profile"), pnginfo=texts)
    except ValueError:
        raise UserError(f"{target}: Pillow knows no image format of this name; choose .png or .jpg") from None
    except PermissionError:
        raise UserError(f"{target} cannot be written; choose an --output in a folder of yours") from None
