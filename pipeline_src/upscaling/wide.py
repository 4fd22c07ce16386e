"""Samples of 16 bits: reading those that Pillow cuts down to 8 bits, and upscaling by a net of 8 bits."""

import logging
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.imaging.images import correct_planes, opened, with_raw_modes
from pipeline_src.imaging.imresize import SUPPORT, imresize, imresize_float

log = logging.getLogger(__name__)

Resize = Callable[[np.ndarray], np.ndarray]  # from uint8 H×W×3 to uint8 H'×W'×3
ROWS = 128  # of the input that a band of the bicubic image is made of
LEVEL = 257  # 65535 / 255: a level of 8 bits in 16
RAW_MODE = re.compile(r"(RGB|RGBA|RGBX|RGBa|LA|[RGBAa]);16([BLN])")  # Pillow's names of samples as they are stored

PLANES = 284  # tag of TIFF


def wide_samples(path: Path, index: int = 0) -> np.ndarray | None:
    """Return the 16-bit samples of a colour image, or of grey with transparency, which Pillow cuts down to 8 bits.

    Pillow decodes colours of 16 bits to the one byte of each sample that a "raw mode" names. Two such decodings, of the
    first bytes and of the second, are the samples.

    Args:
        path: an image file.
        index: of the frame or page.

    Returns:
        uint16 H×W×C, not turned: grey and alpha, RGB, or RGBA; None if the image has no such samples.

    Raises:
        UserError: as ``images.opened``.
    """
    with opened(path) as image:
        image.seek(index)
        if image.format == "PPM":
            return _of_ppm(image)
        modes = _raw_modes(image, path)
    if not modes:
        return None
    if modes[0] == "LA;16B":  # Pillow's RGBA of 8 bits has the same 4 bytes
        pairs = _decoded(path, index, ["RGBA"]).astype(np.uint16)
        return pairs[..., ::2] << 8 | pairs[..., 1::2]
    stored = [mode.partition(";")[0] for mode in modes]
    names = [name.replace("a", "A") for name in stored]
    first, second = (_decoded(path, index, [f"{name};16{order}" for name in names]) for order in "BL")
    big = modes[0][-1] == "B" or (modes[0][-1] == "N" and sys.byteorder == "big")
    high, low = (first, second) if big else (second, first)
    samples = high.astype(np.uint16) << 8 | low
    return samples if names == stored else _unpremultiplied(samples)


def keeping_depth(resize: Resize, image: np.ndarray, scale: float | Fraction) -> np.ndarray:
    """Resize an image of 8 or 16 bits with a function that resizes those of 8 bits.

    A net has 8 bits at both ends. The 16-bit result is the value nearest to the bicubic one of the 16-bit samples that
    is within one level of 8 bits of what the net made: half a level was rounded away from the net's input, and half
    from its output. So detail is the net's, and what is finer than a level is that of the samples, without bands.

    Args:
        resize: maps uint8 H×W×3 to uint8 ⌈H·scale⌉×⌈W·scale⌉×3.
        image: uint8 or uint16 H×W×3.
        scale: factor of ``resize``, 1 or more for 16 bits.

    Returns:
        The resized image, of the same dtype.
    """
    if image.dtype == np.uint8:
        return resize(image)
    made = resize(to_8_bits(image))
    wide = np.empty(made.shape, np.uint16)
    for rows, smooth in _bicubic_bands(image, Fraction(scale)):
        levels = made[rows].astype(np.float64) * LEVEL
        wide[rows] = _to_16_bits(np.clip(smooth, levels - LEVEL, levels + LEVEL))
    return wide


def _bicubic_bands(image: np.ndarray, scale: Fraction) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the bicubic image in bands of rows, as floats, which would take much memory for the whole of it."""
    unit = scale.denominator  # a band begins where an input row and an output row begin together
    band, margin = -(-ROWS // unit) * unit, -(-SUPPORT // unit) * unit
    for first in range(0, len(image), band):
        last, top = first + band, max(first - margin, 0)
        smooth = imresize_float(image[top : last + margin], scale)
        skip = int((first - top) * scale)
        length = math.ceil((min(last, len(image)) - first) * scale)
        begin = int(first * scale)
        yield slice(begin, begin + length), smooth[skip : skip + length]


def bicubic(image: np.ndarray, scale: float | Fraction) -> np.ndarray:
    """Resize an image of 8 or 16 bits, H×W or H×W×C, with MATLAB's bicubic, to the same dtype."""
    if image.dtype == np.uint8:
        return imresize(image, scale)
    return _to_16_bits(imresize_float(image, scale))


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Round samples of 16 bits to 8; those of 8 bits are returned as they are."""
    if image.dtype == np.uint8:
        return image
    return ((image.astype(np.uint32) + LEVEL // 2) // LEVEL).astype(np.uint8)


def _to_16_bits(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 65535).astype(np.uint16)


def _raw_modes(image: Any, path: Path) -> list[str]:
    """Return the raw mode of each tile of an opened image if they are of 16 bits and can be decoded so, else []."""
    if image.format not in ("PNG", "TIFF"):
        return []
    correct_planes(image)
    modes = [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in image.tile]
    tags: Any = image.tag_v2 if image.format == "TIFF" else {}
    if not modes or not all(map(RAW_MODE.fullmatch, modes)) or (image.format == "PNG" and image.is_animated):
        return []
    if tags.get(PLANES) == 2 and "RGB" in modes[0]:
        log.warning("%s has compressed planes of 16 bits, and is read as 8-bit; save it without planes", path)
        return []
    return modes


def _decoded(path: Path, index: int, modes: Sequence[str]) -> np.ndarray:
    with opened(path) as image:
        image.seek(index)
        image.tile = with_raw_modes(image, modes)
        image.load()
        return np.asarray(image)


def _of_ppm(image: Any) -> np.ndarray | None:
    """Return the samples of a binary PPM of more than 8 bits."""
    tile = image.tile[0]
    if image.mode != "RGB" or tile.codec_name != "ppm" or tile.args[1] <= 255:
        return None
    width, height = image.size
    image.fp.seek(tile.offset)
    data = image.fp.read(width * height * 6)
    samples = np.frombuffer(data, ">u2").reshape(height, width, 3)
    return _to_16_bits(samples * (65535 / tile.args[1]))


def _unpremultiplied(samples: np.ndarray) -> np.ndarray:
    alpha = samples[..., 3:].astype(np.float64)
    colours = np.divide(samples[..., :3] * 65535.0, alpha, out=np.zeros(samples[..., :3].shape), where=alpha > 0)
    return np.concatenate([_to_16_bits(colours), samples[..., 3:]], axis=-1)
