"""RGB and YCbCr of ITU-R BT.601 in the studio range, as MATLAB's ``rgb2ycbcr`` and ``ycbcr2rgb`` of uint8 images.

Y runs from 16 to 235, Cb and Cr from 16 to 240. And between grey images and RGB ones.
"""

import numpy as np

# per 1000·255, so that they are whole numbers; rows Y, Cb, Cr
FROM_RGB = np.array([[65481, 128553, 24966], [-37797, -74203, 112000], [112000, -93786, -18214]], np.int32)
OFFSET = np.array([16, 128, 128], np.int32)
UNIT = np.int32(255_000)


def rgb_to_y(rgb: np.ndarray) -> np.ndarray:
    """Y, uint8 H×W, rounded half up, of an RGB image, uint8 H×W×3."""
    return _plane(rgb, 0)


def rgb_to_y_float(rgb: np.ndarray) -> np.ndarray:
    """Y, float64 H×W in 16..235, not rounded, of an RGB image, H×W×3 in 0..255 of any type."""
    return OFFSET[0] + rgb @ (FROM_RGB[0] / UNIT)


def rgb_to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """YCbCr, uint8 H×W×3, each rounded half up, of an RGB image, uint8 H×W×3."""
    return np.stack([_plane(rgb, plane) for plane in range(3)], axis=-1)


def ycbcr_to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """RGB, uint8 H×W×3, rounded half up and clipped, of a YCbCr image, H×W×3 in 0..255, uint8 or float."""
    rgb = (ycbcr - OFFSET.astype(np.float64)) @ np.linalg.inv(FROM_RGB / UNIT).T
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def _plane(rgb: np.ndarray, plane: int) -> np.ndarray:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an RGB image is uint8 H×W×3, not {rgb.dtype} {rgb.shape}")
    # whole numbers throughout: no tie is decided by the rounding of a float
    total = rgb[..., 0] * FROM_RGB[plane, 0]
    total += rgb[..., 1] * FROM_RGB[plane, 1]
    total += rgb[..., 2] * FROM_RGB[plane, 2]
    total += OFFSET[plane] * UNIT + UNIT // 2
    total //= UNIT
    return total.astype(np.uint8)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """H×W×3 of an image that may be grey: the three channels alike."""
    return image if image.ndim == 3 else np.stack([image] * 3, axis=-1)


def to_grey(image: np.ndarray) -> np.ndarray:
    """The rounded mean of the channels of an image, uint8 H×W×3."""
    return ((image.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8)
