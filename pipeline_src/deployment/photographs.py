"""Images of users: any mode, with transparency and colour profiles, and the note that a downscaled PNG carries."""

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

    L and LA stay grey, transparency is kept and resized with bicubic, everything else becomes RGB. The colour profile
    is kept.

    Args:
        resize: Maps uint8 H×W×3 to uint8 of ``scale`` times the sides, rounded up.
        image: The image.
        scale: Greater than 1 enlarges.
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
    """Raise UserError if the format of ``target`` cannot hold the transparency of ``image``."""
    if image.has_transparency_data and target.suffix.lower() in WITHOUT_ALPHA:
        raise UserError(f"{source} has transparency, which {target.suffix} cannot hold; choose a .png output")


def note_source(small: Image.Image, photograph: Image.Image, scale: int, system: str) -> None:
    """Note in a downscaled image, for its PNG, the size of the photograph, the scale, and the system."""
    small.info[SOURCE_KEY] = f"{photograph.width}x{photograph.height} by {scale} for {system}"


def cropped_to_source(result: Image.Image, small: Image.Image, scale: int, source: Path) -> Image.Image:
    """Crop an upscaled image to the size of the photograph, if the PNG of the small image records it.

    The rows and columns that are cropped are there only because the size of the small image was rounded up.

    Args:
        result: The upscaled image.
        small: The image that was upscaled.
        scale: The scale by which it was upscaled.
        source: The file of the small image, as the error names it.

    Raises:
        UserError: If ``small`` was made to be upscaled by another scale.
    """
    note = SOURCE.fullmatch(str(small.info.get(SOURCE_KEY, "")))
    if not note:
        return result
    width, height, noted_scale = (int(part) for part in note.groups()[:3])
    if noted_scale != scale:
        raise UserError(
            f"{source} was made to be upscaled ×{noted_scale} by {note[4]}, not ×{scale}; choose --model {note[4]}"
        )
    unchanged = (-(-width // scale), -(-height // scale)) == small.size  # else it was cropped or resized since
    return result.crop((0, 0, width, height)) if unchanged else result


def save(image: Image.Image, target: Path) -> None:
    """Write an image whole or not at all, with the colour profile and the note of its ``info``."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    if SOURCE_KEY in image.info:
        texts.add_text(SOURCE_KEY, image.info[SOURCE_KEY])
    try:
        with whole_file(target) as aside:
            image.save(aside, quality=JPEG_QUALITY, icc_profile=image.info.get("icc_profile"), pnginfo=texts)
    except ValueError:
        raise UserError(f"{target}: Pillow knows no image format of this name; choose .png or .jpg") from None
    except PermissionError:
        raise UserError(f"{target} cannot be written; choose an --output in a folder of yours") from None
