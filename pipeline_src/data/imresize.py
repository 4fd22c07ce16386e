"""MATLAB's bicubic ``imresize``, pixel for pixel, in its two conventions.

Cubic kernel with a = −0.5 (Keys 1981), stretched by 1/scale when shrinking (antialiasing). MATLAB treats the classes
of images differently, and the LR images that people published were made in both ways:

* convention A, a uint8 image: the border pixel is repeated, and the image is rounded to uint8 after each pass;
* convention B, a double image (``im2double``): the image is mirrored at its border, and rounded once, at the end.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from pipeline_src.data.bands import in_bands
from pipeline_src.errors import UserError

Convention = Literal["A", "B"]
SUPPORT = 4  # of the cubic kernel, in LR pixels when shrinking, in input pixels when enlarging


def imresize(image: np.ndarray, scale: float | Fraction, convention: Convention = "A", threads: int = 1) -> np.ndarray:
    """Resize ``image``, uint8 H×W or H×W×C, to uint8 ceil(H·scale)×ceil(W·scale); ``scale`` < 1 shrinks.

    A Fraction makes the size exact where a float may not: 1.1·10 is a little more than 11.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"imresize takes uint8, not {image.dtype}; imresize_float takes floats")
    return _resize(image if convention == "A" else image.astype(np.float64), scale, convention, np.uint8, threads)


def imresize_float(image: np.ndarray, scale: float | Fraction, threads: int = 1) -> np.ndarray:
    """The same in convention B without its rounding and clipping: any H×W or H×W×C of numbers to float64."""
    return _resize(image.astype(np.float64), scale, "B", np.float64, threads)


def modcrop(hr: np.ndarray, scale: int) -> np.ndarray:
    """The top left of ``hr`` (a view) whose height and width are multiples of ``scale``; UserError if none is left."""
    height, width = (side // scale * scale for side in hr.shape[:2])
    if not height or not width:
        raise UserError(
            f"an image of {hr.shape[1]}×{hr.shape[0]} pixels is smaller than its scale ×{scale}; remove it from its set"
        )
    return hr[:height, :width]


def round_to_uint8(values: np.ndarray) -> np.ndarray:
    """MATLAB's ``uint8()``: floats rounded half away from zero and clipped to 0..255."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def _resize(
    image: np.ndarray, scale: float | Fraction, convention: Convention, result: type, threads: int
) -> np.ndarray:
    from pipeline_src.data.resample import resample

    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"an image is H×W or H×W×C and not empty, not {image.shape}")
    if convention not in ("A", "B"):
        raise ValueError(f"the convention is A or B, not {convention!r}")
    if scale <= 0:
        raise ValueError(f"the scale must be above 0, not {scale}")
    height, width, *channels = image.shape
    row_taps, row_weights = taps_and_weights(height, scale, convention)
    column_taps, column_weights = taps_and_weights(width, scale, convention)
    if convention == "A" and _exact_in_float32(row_weights) and _exact_in_float32(column_weights):
        row_weights, column_weights = row_weights.astype(np.float32), column_weights.astype(np.float32)
    shape = (len(row_taps), len(column_taps), *channels)
    out = np.empty((shape[0], math.prod(shape[1:])), result)
    source = np.ascontiguousarray(image).reshape(height, -1)
    rows, columns = (row_taps, row_weights), (column_taps, column_weights)

    def band(first: int, last: int) -> None:
        resample(source, math.prod(channels), *rows, *columns, convention == "A", result is np.uint8, first, last, out)

    in_bands(band, len(out), threads)
    return out.reshape(shape)


@lru_cache(maxsize=64)
def taps_and_weights(length: int, scale: float | Fraction, convention: Convention) -> tuple[np.ndarray, np.ndarray]:
    """For each output pixel of a side of ``length`` pixels: which input pixels it sums (int64), and by which weights.

    Both are outputs×P. No library's power function and no vectorised sum takes part, so that every machine gets the
    same weights to the last bit, which can decide where a tie is rounded to.
    """
    outputs = np.arange(1, math.ceil(length * scale) + 1)[:, None]
    scale = float(scale)
    shrink = min(1.0, scale)
    centres = outputs / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(centres - SUPPORT / shrink / 2)
    pixels = left + np.arange(math.ceil(SUPPORT / shrink) + 2)
    weights = shrink * _cubic(shrink * (centres - pixels))
    weights /= weights.cumsum(axis=1)[:, -1:]
    used = weights.any(axis=0)
    taps = pixels[:, used].astype(np.int64) - 1
    if convention == "A":
        taps = taps.clip(0, length - 1)
    else:
        taps %= 2 * length
        taps = np.minimum(taps, 2 * length - 1 - taps)
    return taps, np.ascontiguousarray(weights[:, used])


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * (x * x * x) - 2.5 * (x * x) + 1
    far = -0.5 * (x * x * x) + 2.5 * (x * x) - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def _exact_in_float32(weights: np.ndarray) -> bool:
    """Whether no sum of these weights times 8-bit values rounds in float32, which is then float64's equal, and faster.

    So it is for the powers of two, whose weights are multiples of 2⁻¹² or more.
    """
    unit = 2.0**15
    return bool((weights * unit % 1 == 0).all() and 255 * np.abs(weights).sum(axis=1).max() * unit < 2**24)
