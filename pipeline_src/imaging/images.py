"""Reading and writing image files. All images are decoded here, so that every bad file is reported in one sentence.

Pillow is imported on first use, because ``--help`` of a command must not wait for it.
"""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

if TYPE_CHECKING:
    from types import ModuleType

    from PIL.Image import Image

PIXEL_LIMIT = 2**27  # 134 million, more than photographs have but for a few cameras of 200 megapixels
# Not every format that Pillow supports, because some of them start other programs.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000")
GREY = ("1", "L", "LA", "La")  # modes of Pillow
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif", ".jp2")


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
    byte; transparent pixels are blended with white; palettes, CMYK and the like become RGB; of several frames the first
    is used.

    Raises:
        UserError: if the file is not an image, is broken or cut short, has more than ``PIXEL_LIMIT`` pixels, or has
            samples of 32 bits.
    """
    from PIL import Image

    image = decode(path)
    grey = image.mode in GREY
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return np.asarray(image.convert("L" if grey else "RGB"))


def decode(path: Path) -> "Image":
    """Decode an image file as Pillow's image: upright, of 8-bit samples, with its transparency.

    Raises:
        UserError: as :func:`read_image`.
    """
    from PIL import Image

    image = _decode(path, upright=True)
    if image.mode == "F":
        raise _needs_fewer_bits(path)
    if image.mode.startswith("I"):
        return Image.fromarray(_high_byte(np.asarray(image), path))
    return image


def describe(path: Path) -> Description:
    """Decode the complete file and describe it as it is stored, without any conversion.

    Raises:
        UserError: as :func:`read_image`, except for samples of 32 bits.
    """
    image = _decode(path, upright=False)
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


def _decode(path: Path, upright: bool) -> "Image":
    pillow = _pillow()
    from PIL import ImageOps

    try:
        with pillow.open(path, formats=FORMATS) as image:
            image.load()
            return ImageOps.exif_transpose(image) if upright else image
    except FileNotFoundError:
        raise UserError(f"the image {path} does not exist; correct its name") from None
    except pillow.DecompressionBombError:
        raise UserError(
            f"the image {path} has more than {PIXEL_LIMIT // 10**6} million pixels; crop it or make it smaller"
        ) from None
    except pillow.UnidentifiedImageError:
        raise UserError(
            f"{path} is not an image that can be read ({', '.join(FORMATS)}); convert or remove it"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise exceptions of many classes on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the image {path} is broken or cut short ({reason}); replace it by a complete copy") from None


def _pillow() -> "ModuleType":
    from PIL import Image

    # Pillow warns above MAX_IMAGE_PIXELS and raises above twice that. Here only the latter limit is used.
    Image.MAX_IMAGE_PIXELS = PIXEL_LIMIT // 2
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return Image


def _high_byte(samples: np.ndarray, path: Path) -> np.ndarray:
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise _needs_fewer_bits(path)
    return (samples >> 8).astype(np.uint8)


def _needs_fewer_bits(path: Path) -> UserError:
    return UserError(f"the image {path} has samples of 32 bits; save it with 8 or 16 bits a sample")
