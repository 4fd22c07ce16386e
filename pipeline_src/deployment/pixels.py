"""Conversions between the tensors of a runtime and 8-bit images, at the speed of memory.

NumPy and torch need three or four passes over a full-HD image (10 to 30 ms); these need one (3 to 6 ms).
"""

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True)
def _round_interleaved(sr: np.ndarray, image: np.ndarray) -> None:
    for i in range(sr.size):
        image[i] = np.uint8(np.int32(np.rint(min(max(sr[i], np.float32(0)), np.float32(255)))))


@numba.njit(cache=True, fastmath=True)
def _round_planar(sr: np.ndarray, image: np.ndarray) -> None:
    channels, height, width = sr.shape
    for y in range(height):
        for c in range(channels):  # outside the loop over x, which is then one of vector instructions
            for x in range(width):
                image[y, x, c] = np.uint8(np.int32(np.rint(min(max(sr[c, y, x], np.float32(0)), np.float32(255)))))


def from_nhwc(sr: np.ndarray) -> np.ndarray:
    """Return the image, uint8 H×W×C, of a 1×H×W×C tensor.

    The tensor is uint8, int8 (the value less 128), or float32, which is clipped to 0..255 and rounded half to even.
    """
    if sr.dtype == np.uint8:
        copied: np.ndarray = sr[0].copy()
        return copied
    if sr.dtype == np.int8:
        return _shifted(sr[0].view(np.uint8))
    image = np.empty(sr.shape[1:], np.uint8)
    _round_interleaved(sr.reshape(-1), image.reshape(-1))
    return image


def from_nchw(sr: np.ndarray) -> np.ndarray:
    """Return the image, uint8 H×W×C, of a 1×C×H×W tensor, uint8 or float32 as in :func:`from_nhwc`."""
    if sr.dtype == np.uint8:
        return np.stack(list(sr[0]), axis=-1)
    image = np.empty((*sr.shape[2:], sr.shape[1]), np.uint8)
    _round_planar(sr[0], image)
    return image


def to_nhwc(image: np.ndarray, dtype: str) -> np.ndarray:
    """Return the 1×H×W×C tensor of an image, uint8 H×W×C; the values stay 0..255, in int8 less 128."""
    return _shifted(image[None]).view(np.int8) if dtype == "int8" else np.ascontiguousarray(image[None], dtype)


def _shifted(values: np.ndarray) -> np.ndarray:
    """Uint8 values plus 128, modulo 256: the bytes of uint8 values as those of int8 values less 128, and back."""
    shifted: np.ndarray = np.bitwise_xor(values, 128, order="C")
    return shifted


def to_nchw(image: np.ndarray, dtype: str) -> np.ndarray:
    """Return the 1×C×H×W tensor of an image, uint8 H×W×C; the values stay 0..255."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype)
