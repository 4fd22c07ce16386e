"""Reading photographs of every kind, frame by frame."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline_src.imaging.images import GREY, integers, opened, orientation, turned
from pipeline_src.upscaling.metadata import Metadata, read_metadata
from pipeline_src.upscaling.photographs import Frame
from pipeline_src.upscaling.wide import to_8_bits, wide_samples

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

log = logging.getLogger(__name__)

FRAMES_OF = ("GIF", "PNG", "WEBP", "AVIF")  # formats with frames; the other images in a JPEG or HEIF are not frames


@dataclass(frozen=True)
class Header:
    """What an image file says before it is decoded.

    Attributes:
        width: of the upright image.
        height: of the upright image.
        frames: how many.
        file_format: Pillow's name of the format.
    """

    width: int
    height: int
    frames: int
    file_format: str

    @property
    def pages(self) -> bool:
        """Whether the frames are pages, each of its own size, and no animation."""
        return self.file_format == "TIFF"


def read_header(path: Path) -> Header:
    """Return the size of an image and its number of frames.

    Raises:
        UserError: as ``images.opened``.
    """
    with opened(path) as image:
        # Pillow turns a TIFF itself.
        sides = image.size if image.format == "TIFF" or orientation(image) < 5 else image.size[::-1]
        return Header(*sides, len(_indices(image)), str(image.format))


def read_frames(path: Path, first_only: bool, wide: bool) -> Iterator[tuple[Frame, Metadata]]:
    """Yield the frames of an image file, each with the metadata of the file or page.

    Palettes, CMYK, Lab and the like become RGB; CMYK and Lab through their colour profile. Grey stays grey.

    Args:
        path: the file.
        first_only: whether to yield the first frame alone.
        wide: whether to keep 16 bits a sample, where the file has them, or to round them to 8.

    Raises:
        UserError: as ``images.read_image``.
    """
    with opened(path) as image:
        for index in _indices(image)[: 1 if first_only else None]:
            image.seek(index)
            samples = wide_samples(path, index)
            image.load()
            way = orientation(image, path)
            metadata = read_metadata(image, path)
            colours, alpha = _planes(image, path) if samples is None else _wide_planes(samples, image)
            if not wide:
                colours, alpha = to_8_bits(colours), None if alpha is None else to_8_bits(alpha)
            colours, alpha = turned(colours, way), None if alpha is None else turned(alpha, way)
            yield Frame(colours, alpha, image.info.get("duration", 0)), metadata


def _indices(image: "ImageFile") -> range:
    """Return the indices of the frames or pages that belong to an image."""
    if image.format not in (*FRAMES_OF, "TIFF"):
        return range(image.tell(), image.tell() + 1)
    count = getattr(image, "n_frames", 1)
    return range(1 if image.info.get("default_image") and count > 1 else 0, count)


def _planes(image: "Image", path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return colours and alpha of a decoded image; 8 bits, or 16 of grey."""
    if image.mode.startswith(("I", "F")):
        samples = integers(image, path)
        return samples, _keyed(samples[..., None], image.info.get("transparency"))
    grey = image.mode in GREY
    if not image.has_transparency_data:
        return np.asarray(_without_ink(image, path).convert("L" if grey else "RGB")), None
    channels = np.asarray(image.convert("RGBA"))
    return channels[..., 0] if grey else channels[..., :3], channels[..., 3]


def _wide_planes(samples: np.ndarray, image: "Image") -> tuple[np.ndarray, np.ndarray | None]:
    """Return colours and alpha of 16-bit samples, H×W×C: grey and alpha, RGB or RGBA."""
    if samples.shape[2] == 3:
        return samples, _keyed(samples, image.info.get("transparency"))
    colours = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
    return colours, samples[..., -1]


def _keyed(samples: np.ndarray, key: object) -> np.ndarray | None:
    """Return the alpha of samples, H×W×C, of which one colour is transparent; None if there is no such colour."""
    if not isinstance(key, int | tuple):
        return None
    opaque = np.iinfo(samples.dtype).max
    return np.where((samples == np.array(key)).all(axis=2), 0, opaque).astype(samples.dtype)


def _without_ink(image: "Image", path: Path) -> "Image":
    """Convert an image in CMYK that has a profile to sRGB, as its inks look; return any other as it is."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if image.mode != "CMYK" or not profile or profile[16:20] != b"CMYK":
        return image
    try:
        inks, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, inks, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        log.warning("the colour profile of %s cannot be used, and its colours are near ones (%s)", path, error)
        return image
    assert converted
    return converted
