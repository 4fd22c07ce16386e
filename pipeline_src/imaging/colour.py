"""Conversions between RGB, YCbCr and grey images.

YCbCr is ITU-R BT.601 in the studio range (Y from 16 to 235, Cb and Cr from 16 to 240), as MATLAB's ``rgb2ycbcr`` and
``ycbcr2rgb`` of uint8 images.
"""

import numpy as np

# Rows Y, Cb, Cr; in units of 1/(1000·255), so that they are integers.
FROM_RGB = np.array([[65481, 128553, 24966], [-37797, -74203, 112000], [112000, -93786, -18214]], np.int32)
OFFSET = np.array([16, 128, 128], np.int32)
UNIT = np.int32(255_000)


def rgb_to_y(rgb: np.ndarray) -> np.ndarray:
    """Convert an RGB image, uint8 H×W×3, to Y, uint8 H×W, rounded half up."""
    return _plane(rgb, 0)


def rgb_to_y_float(rgb: np.ndarray) -> np.ndarray:
    """Convert an RGB image, H×W×3 in 0..255 of any type, to Y, float64 H×W in 16..235, without rounding."""
    y: np.ndarray = OFFSET[0] + rgb @ (FROM_RGB[0] / UNIT)
    return y


def rgb_to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """Convert an RGB image, uint8 H×W×3, to YCbCr, uint8 H×W×3, rounded half up."""
    return np.stack([_plane(rgb, plane) for plane in range(3)], axis=-1)


def ycbcr_to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Convert a YCbCr image, uint8 or float H×W×3 in 0..255, to RGB, uint8 H×W×3, rounded half up and clipped."""
    floats = (ycbcr - OFFSET.astype(np.float64)) @ np.linalg.inv(FROM_RGB / UNIT).T
    rgb: np.ndarray = np.clip(np.floor(floats + 0.5), 0, 255).astype(np.uint8)
    return rgb


def _plane(rgb: np.ndarray, plane: int) -> np.ndarray:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an RGB image is uint8 H×W×3, not {rgb.dtype} {rgb.shape}")
    # Integers throughout, so that ties are rounded exactly.
    total: np.ndarray = rgb[..., 0] * FROM_RGB[plane, 0]
    total += rgb[..., 1] * FROM_RGB[plane, 1]
    total += rgb[..., 2] * FROM_RGB[plane, 2]
    total += OFFSET[plane] * UNIT + UNIT // 2
    total //= UNIT
    return total.astype(np.uint8)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Convert an image, H×W or H×W×3, to H×W×3; grey becomes three equal channels."""
    return image if image.ndim == 3 else np.stack([image] * 3, axis=-1)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Average the channels of an image, uint8 or uint16 H×W×3, to H×W of the same dtype, rounded."""
    grey: np.ndarray = ((image.sum(axis=2, dtype=np.uint32) + 1) // 3).astype(image.dtype)
    return grey
