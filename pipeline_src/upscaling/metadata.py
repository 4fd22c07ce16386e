"""What an image file says of its image, as it is true of the upscaled one: EXIF, resolution, colour profile, texts."""

import logging
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageFile

from pipeline_src.imaging.images import ORIENTATION

log = logging.getLogger(__name__)

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, UNIT_CENTIMETRE = 0x011A, 0x011B, 0x0128, 3
EXIF_IFD, PIXEL_WIDTH, PIXEL_HEIGHT = 0x8769, 0xA002, 0xA003
CENTIMETRES = 2.54  # of an inch
# Tags of a TIFF, or of the EXIF of one, that describe how its own pixels are stored, and its XMP, IPTC and ICC blocks.
STRUCTURE = (
    *range(0x00FE, 0x0108),
    *(0x010A, 0x0111, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119, 0x011C, 0x013D, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145),
    *(0x014A, 0x0152, 0x0153, 0x0154, 0x0155, 0x015B, 0x0200, 0x0201, 0x0202, 0x0211, 0x0212, 0x0213, 0x0214, 0x02BC),
    *(0x83BB, 0x8649, 0x8773),
)
LEFT_OUT = ("XML:com.adobe.xmp", "Raw profile type")  # texts of a PNG that are XMP or EXIF


@dataclass(frozen=True)
class Metadata:
    """What an image file says of its image.

    Attributes:
        exif: a block of EXIF as Pillow reads and writes it, or None.
        icc: the colour profile, or None.
        dpi: pixels an inch, horizontally and vertically, or None.
        texts: of a PNG, by keyword.
        loop: how often an animation is repeated, 0 for ever; None if its file does not say, which means once.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    loop: int | None = None


def read_metadata(image: ImageFile.ImageFile, path: Path) -> Metadata:
    """Return the metadata of an image file that is open and decoded.

    Args:
        image: the open file.
        path: its path, for a warning about EXIF that cannot be read, which is left out.
    """
    exif = _exif(image, path)
    texts = {key: str(text) for key, text in getattr(image, "text", {}).items() if not key.startswith(LEFT_OUT)}
    return Metadata(
        exif=exif,
        icc=_profile(image),
        dpi=_dpi(image, exif),
        texts=texts,
        loop=image.info.get("loop", 0 if image.format == "AVIF" else None),  # Pillow does not read that of AVIF
    )


def scaled(metadata: Metadata, factor: float, width: int, height: int) -> Metadata:
    """Return the metadata of the upright image of another size.

    The orientation is 1, the resolution is scaled such that a print keeps its size, and the EXIF tags of the size are
    those of the new one.

    Args:
        metadata: of the original.
        factor: new pixels per old ones.
        width: of the new image.
        height: of the new image.
    """
    dpi = metadata.dpi and (metadata.dpi[0] * factor, metadata.dpi[1] * factor)
    return replace(metadata, dpi=dpi, exif=metadata.exif and _scaled_exif(metadata.exif, factor, width, height))


def _scaled_exif(block: bytes, factor: float, width: int, height: int) -> bytes:
    exif = Image.Exif()
    exif.load(block)
    if ORIENTATION in exif:
        exif[ORIENTATION] = 1
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        if tag in exif:
            exif[tag] = float(exif[tag]) * factor
    details = exif.get_ifd(EXIF_IFD)
    for tag, side in ((PIXEL_WIDTH, width), (PIXEL_HEIGHT, height)):
        if tag in details:
            details[tag] = side
    return exif.tobytes()


def _exif(image: ImageFile.ImageFile, path: Path) -> bytes | None:
    """Return the EXIF of an image as a block that can be written again; None if there is none or it is malformed."""
    with warnings.catch_warnings(action="ignore"):
        try:
            exif = image.getexif()
        except Exception:  # images.orientation has warned
            return None
        try:
            for tag in STRUCTURE:
                if tag in exif:
                    del exif[tag]
            block = exif.tobytes() if exif else None
            if block:
                _scaled_exif(block, 1, image.width, image.height)
        except Exception as error:  # Pillow raises exceptions of many classes on values of a wrong type
            log.warning("the EXIF of %s is malformed and is left out (%s)", path, " ".join(str(error).split()))
            return None
    return block


def _dpi(image: ImageFile.ImageFile, exif: bytes | None) -> tuple[float, float] | None:
    """Return the resolution that a file has, and not the one that Pillow takes where it has none: 1 or 72."""
    dpi = image.info.get("dpi")
    if not dpi or not all(side > 0 for side in dpi):  # 0 in many a BMP, or no number
        return None
    if image.format == "TIFF" and X_RESOLUTION not in image.tag_v2:  # type: ignore[attr-defined]
        return None
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit", 0) == 0:
        said = Image.Exif()
        said.load(exif or b"")
        if X_RESOLUTION not in said or Y_RESOLUTION not in said:
            return None
        inch = CENTIMETRES if said.get(RESOLUTION_UNIT) == UNIT_CENTIMETRE else 1
        dpi = said[X_RESOLUTION] * inch, said[Y_RESOLUTION] * inch
    return float(dpi[0]), float(dpi[1])


def _profile(image: Image.Image) -> bytes | None:
    """Return the colour profile if it is of the colours that the image is given in: grey or RGB.

    Images in CMYK and in Lab are converted to sRGB, which their profiles do not describe.
    """
    profile = image.info.get("icc_profile")
    space = profile[16:20] if isinstance(profile, bytes) else b""
    return profile if space in (b"RGB ", b"GRAY") and image.mode not in ("CMYK", "LAB") else None
