"""MATLAB's bicubic ``imresize``, pixel for pixel, for images of class uint8 and of class double.

Cubic kernel with a = −0.5 (Keys 1981), stretched by 1/scale when shrinking (antialiasing). MATLAB treats the two image
classes differently, and published LR images were made in both ways:

* ``matlab="uint8"``: the border pixel is repeated, and the image is rounded to uint8 after each of the two passes;
* ``matlab="double"`` (``im2double``): the image is mirrored at its border, and rounded once, at the end.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.imaging.bands import in_bands

MatlabClass = Literal["uint8", "double"]
SUPPORT = 4  # width of the cubic kernel: in output pixels when shrinking, in input pixels when enlarging


def imresize(image: np.ndarray, scale: float | Fraction, matlab: MatlabClass = "uint8", threads: int = 1) -> np.ndarray:
    """Resize an image like MATLAB's ``imresize(image, scale)``.

    Args:
        image: uint8 H×W or H×W×C.
        scale: below 1 shrinks. A Fraction gives the exact size where a float may not: 1.1·10 is slightly above 11.
        matlab: the class that the image has in MATLAB.
        threads: number of threads; the result does not depend on it.

    Returns:
        uint8, ceil(H·scale)×ceil(W·scale), with the channels of ``image``.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"imresize takes uint8, not {image.dtype}; imresize_float takes floats")
    return _resize(image if matlab == "uint8" else image.astype(np.float64), scale, matlab, np.uint8, threads)


def imresize_float(image: np.ndarray, scale: float | Fraction, threads: int = 1) -> np.ndarray:
    """Resize values of any type, H×W or H×W×C, like a double image to float64, without rounding or clipping."""
    return _resize(image.astype(np.float64), scale, "double", np.float64, threads)


def modcrop(hr: np.ndarray, scale: int) -> np.ndarray:
    """Return the top left of ``hr``, a view, whose height and width are multiples of ``scale``.

    Raises:
        UserError: if a side of the image is shorter than ``scale`` pixels.
    """
    height, width = (side // scale * scale for side in hr.shape[:2])
    if not height or not width:
        raise UserError(
            f"an image of {hr.shape[1]}×{hr.shape[0]} pixels is smaller than its scale ×{scale}; remove it from its set"
        )
    return hr[:height, :width]


def round_to_uint8(values: np.ndarray) -> np.ndarray:
    """Round floats half away from zero and clip them to 0..255, like MATLAB's ``uint8()``."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def _resize(image: np.ndarray, scale: float | Fraction, matlab: MatlabClass, result: type, threads: int) -> np.ndarray:
    from pipeline_src.imaging.resample import resample

    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"an image is H×W or H×W×C and not empty, not {image.shape}")
    if matlab not in ("uint8", "double"):
        raise ValueError(f"matlab is uint8 or double, not {matlab!r}")
    if scale <= 0:
        raise ValueError(f"the scale must be above 0, not {scale}")
    height, width, *channels = image.shape
    row_taps, row_weights = taps_and_weights(height, scale, matlab)
    column_taps, column_weights = taps_and_weights(width, scale, matlab)
    if matlab == "uint8" and _exact_in_float32(row_weights) and _exact_in_float32(column_weights):
        row_weights, column_weights = row_weights.astype(np.float32), column_weights.astype(np.float32)
    shape = (len(row_taps), len(column_taps), *channels)
    out = np.empty((shape[0], math.prod(shape[1:])), result)
    source = np.ascontiguousarray(image).reshape(height, -1)
    rounding = matlab == "uint8", result is np.uint8

    def resize_rows(first: int, last: int) -> None:
        rows = row_taps[first:last], row_weights[first:last]
        resample(source, math.prod(channels), rows, (column_taps, column_weights), rounding, out[first:last])

    in_bands(resize_rows, len(out), threads)
    return out.reshape(shape)


@lru_cache(maxsize=64)
def taps_and_weights(length: int, scale: float | Fraction, matlab: MatlabClass) -> tuple[np.ndarray, np.ndarray]:
    """Return which input pixels each output pixel sums along one side, and with which weights.

    No library's power function or vectorised sum is used, so that every machine computes the same weights bit for bit,
    since the rounding of a tie can depend on the last bit.

    Args:
        length: of the side, in input pixels.
        scale: as for :func:`imresize`.
        matlab: determines the values beyond the border.

    Returns:
        Indices, int64, and weights, float64, both outputs×P.
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
    if matlab == "uint8":
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
    """Return whether no sum of these weights times 8-bit values needs rounding in float32, which is faster.

    This holds for scales that are powers of two, whose weights are multiples of 2⁻¹² or more.
    """
    unit = 2.0**15
    return bool((weights * unit % 1 == 0).all() and 255 * np.abs(weights).sum(axis=1).max() * unit < 2**24)
