"""Reading and writing image files. All images are decoded here, so that every bad file is reported in one sentence.

Pillow is imported on first use, because ``--help`` of a command must not wait for it.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.files import is_of_the_system, whole_file

if TYPE_CHECKING:
    from types import ModuleType

    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

log = logging.getLogger(__name__)

PIXEL_LIMIT = 2**27  # 134 million, more than photographs have but for a few cameras of 200 megapixels
# Not every format that Pillow supports, because some of them start other programs.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000", "AVIF")
HEIF = (".heic", ".heif", ".hif")
GREY = ("1", "L", "LA", "La")  # modes of Pillow
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif", ".jp2"),
    *(".apng", ".avif", ".dib", ".j2k", ".jfif", ".jpe", ".jpf", ".jpx", ".mpo", ".pbm", ".pnm"),
)
ORIENTATION = 0x0112  # tag of EXIF
BITS_PER_SAMPLE = 258  # tag of TIFF


@dataclass(frozen=True)
class Description:
    """Size of an image file in pixels, Pillow's mode, and the hex SHA-256 of its decoded pixels."""

    width: int
    height: int
    mode: str
    sha256_pixels: str


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to uint8: H×W if it is grey, H×W×3 in RGB order otherwise.

    Other kinds of images are converted by fixed rules: the EXIF orientation is applied; 16-bit samples keep their high
    byte; a TIFF of 32-bit integers is taken for one of 8 or 16 bits, whichever holds its largest; transparent pixels
    are blended with white; palettes, CMYK and the like become RGB; of several frames the first is used.

    Raises:
        UserError: if the file is not an image, is broken or cut short, has more than ``PIXEL_LIMIT`` pixels, or has
            samples that 16 bits do not hold.
    """
    from PIL import Image

    with opened(path) as file:
        correct_planes(file)
        file.load()
        way = orientation(file, path)
    image: Image.Image = file
    if image.mode.startswith(("I", "F")):
        samples = integers(image, path)
        image = Image.fromarray(samples if samples.dtype == np.uint8 else (samples >> 8).astype(np.uint8))
    grey = image.mode in GREY
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return turned(np.asarray(image.convert("L" if grey else "RGB")), way)


def integers(image: "Image", path: Path) -> np.ndarray:
    """Return the samples of an image of Pillow's mode I, I;16 or F: uint16, or uint8 where that is their range.

    A TIFF of 32-bit integers does not say which range it uses. One whose largest sample fits into 8 bits is of 8 bits.

    Raises:
        UserError: if a sample is negative, above 65535, or a float.
    """
    if image.mode == "F":
        raise _needs_fewer_bits(path)
    samples = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise _needs_fewer_bits(path)
    if bits == 32 and samples.max(initial=0) <= 255:
        return samples.astype(np.uint8)
    samples = (samples << 4 if bits == 12 else samples).astype(np.uint16)
    return 65535 - samples if bits == 16 and tags.get(262) == 0 else samples  # white may be 0, which Pillow leaves so


def correct_planes(image: Any) -> None:
    """Let Pillow decode the planes of 16 bits of an uncompressed TIFF, which it takes for planes of 8 bits.

    Args:
        image: opened, and not yet loaded; a TIFF is at the page that is to be decoded.
    """
    if image.format != "TIFF" or set(image.tag_v2.get(BITS_PER_SAMPLE, ())) != {16}:
        return
    order = ";16B" if image.tag_v2.prefix == b"MM" else ";16L"
    modes = [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile]
    if all(mode in [*"RGBAa"] for mode in modes):
        image.tile = with_raw_modes(image, [mode + order for mode in modes])


def with_raw_modes(image: Any, modes: Sequence[str]) -> list[Any]:
    """Return the tiles of an opened image, each with the name by which Pillow knows how its samples are stored."""
    return [
        tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode)
        for tile, mode in zip(image.tile, modes, strict=True)
    ]


def describe(path: Path) -> Description:
    """Decode the complete file and describe it as it is stored, without any conversion.

    Raises:
        UserError: as :func:`read_image`, except for samples of 32 bits.
    """
    with opened(path) as image:
        correct_planes(image)
        image.load()
    return Description(image.width, image.height, image.mode, hashlib.sha256(np.asarray(image).tobytes()).hexdigest())


def pixels_sha256(path: Path) -> str:
    """Return the hex SHA-256 of the decoded pixels, which is the same for every lossless copy in any file format."""
    return describe(path).sha256_pixels


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image, uint8 H×W or H×W×3, as PNG, completely or not at all; create missing folders."""
    from PIL import Image

    with whole_file(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG")


def as_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode an image, uint8 H×W×3 or H×W, as a JPEG file with 4:2:0 chroma subsampling."""
    return _encoded(image, "JPEG", quality=quality, subsampling="4:2:0")


def as_png(image: np.ndarray) -> bytes:
    """Encode an image, uint8 H×W×3 or H×W, as a PNG file of the smallest size that Pillow achieves."""
    return _encoded(image, "PNG", optimize=True)


def _encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, kind, **options)
    return file.getvalue()


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode an image, uint8 H×W×3 or H×W, by :func:`as_jpeg`, and decode it again."""
    from PIL import Image

    return np.asarray(Image.open(BytesIO(as_jpeg(image, quality)), formats=["JPEG"]))


def list_images(folder: Path) -> list[Path]:
    """Return the files directly in ``folder`` that have the suffix of an image, sorted by name, except hidden ones.

    Raises:
        UserError: if the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist; correct its name, or put the images there")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


@contextmanager
def opened(path: Path) -> "Iterator[ImageFile]":
    """Open an image file; what Pillow raises in the block, where the file is decoded, becomes one sentence.

    Raises:
        UserError: if the file is missing, is not an image, is broken or cut short, or has more than ``PIXEL_LIMIT``
            pixels.
    """
    pillow = _pillow()
    formats = (*FORMATS, *(("HEIF",) if heif_is_read() else ()))
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe that nobody writes to never ends
            raise UserError(f"{path} is no ordinary file, but a pipe or a device; save the image in a file first")
        # Given an open file and no name, Pillow maps none into memory, which scrambles a TIFF that is to be turned.
        with path.open("rb") as file, pillow.open(file, formats=formats) as image:
            yield image
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"the image {path} does not exist; correct its name") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, where an image is needed; name a file in it") from None
    except PermissionError:
        raise UserError(f"the image {path} may not be read by you; change its permissions") from None
    except pillow.DecompressionBombError:
        raise UserError(
            f"the image {path} has more than {PIXEL_LIMIT // 10**6} million pixels; crop it or make it smaller"
        ) from None
    except pillow.UnidentifiedImageError:
        raise UserError(_not_an_image(path)) from None
    except Exception as error:  # Pillow's decoders raise exceptions of many classes on a broken file
        if is_of_the_system(error):
            raise
        reason = _one_line(error) or type(error).__name__
        raise UserError(f"the image {path} is broken or cut short ({reason}); replace it by a complete copy") from None


def orientation(image: "Image", path: Path | None = None) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1, with a warning that names ``path``, if it cannot be read."""
    try:
        with warnings.catch_warnings(record=True) as problems:
            warnings.simplefilter("always")
            value = image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # its parser raises exceptions of many classes, and the pixels are whole
        if path is not None:
            log.warning("%s has malformed EXIF, which is ignored (%s)", path, _one_line(error))
        return 1
    if path is not None and any(re.search("orrupt|Truncated", str(problem.message)) for problem in problems):
        log.warning("%s has damaged EXIF, of which what can be read is used", path)
    return value if value in range(1, 9) else 1


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image, H×W or H×W×C, that is stored with an EXIF orientation of 1 to 8 as it is to be seen."""
    quarters = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    seen = np.rot90(stored, quarters)
    if orientation in (2, 4):
        seen = np.fliplr(seen)
    elif orientation in (5, 7):
        seen = np.flipud(seen)
    return np.ascontiguousarray(seen)


@cache
def heif_is_read() -> bool:
    """Let Pillow read HEIF, the format of many phones, if pillow-heif is installed; return whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _not_an_image(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(32)
    if path.suffix.lower() in HEIF or (head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif")):
        if heif_is_read():
            return f"{path} is named as HEIF, but is not a whole file of it; replace it by a complete copy"
        return f"{path} is HEIF, which pillow-heif reads; run `pip install pillow-heif`, or convert it"
    return f"{path} is not an image that can be read ({', '.join(FORMATS)}); convert or remove it"


def _pillow() -> "ModuleType":
    from PIL import Image

    # Pillow warns above MAX_IMAGE_PIXELS and raises above twice that. Here only the latter limit is used.
    Image.MAX_IMAGE_PIXELS = PIXEL_LIMIT // 2
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    # It also warns of every oddity in the metadata; what matters of them is said in sentences.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    return Image


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _needs_fewer_bits(path: Path) -> UserError:
    return UserError(f"the image {path} has samples that 16 bits do not hold; save it with 8 or 16 bits a sample")
