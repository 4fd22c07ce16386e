"""Conversions between the tensors of a runtime and 8-bit images.

Float images are rounded by loops that are compiled to a single pass over memory. The program that is sent to devices
leaves these out, because a device has NumPy alone, and rounds in NumPy.
"""

import numpy as np

ROUNDING = "pipeline_src.deployment.rounding"

try:
    from pipeline_src.deployment.rounding import round_interleaved, round_planar
except ModuleNotFoundError as error:
    if error.name != ROUNDING:
        raise
    from pipeline_src.deployment.rounding_in_numpy import round_interleaved, round_planar


def from_nhwc(sr: np.ndarray) -> np.ndarray:
    """Convert a tensor to an image.

    Args:
        sr: 1×H×W×C, uint8, int8 (the value − 128), or float32, which is clipped to 0..255 and rounded half to even.

    Returns:
        uint8 H×W×C, a copy.
    """
    if sr.dtype == np.uint8:
        copied: np.ndarray = sr[0].copy()
        return copied
    if sr.dtype == np.int8:
        return _shifted(sr[0].view(np.uint8))
    image = np.empty(sr.shape[1:], np.uint8)
    round_interleaved(sr.reshape(-1), image.reshape(-1))
    return image


def from_nchw(sr: np.ndarray) -> np.ndarray:
    """Convert a tensor, uint8 or float32 1×C×H×W, to an image, uint8 H×W×C, as :func:`from_nhwc` does."""
    if sr.dtype == np.uint8:
        return np.stack(list(sr[0]), axis=-1)
    image = np.empty((*sr.shape[2:], sr.shape[1]), np.uint8)
    round_planar(sr[0], image)
    return image


def values_from_nhwc(sr: np.ndarray) -> np.ndarray:
    """Convert a tensor as :func:`from_nhwc` does, but to float32 H×W×C without rounding, a copy."""
    return (from_nhwc(sr) if sr.dtype == np.int8 else sr[0]).astype(np.float32)


def values_from_nchw(sr: np.ndarray) -> np.ndarray:
    """Convert a tensor, uint8 or float32 1×C×H×W, to float32 H×W×C without rounding, a copy."""
    return np.ascontiguousarray(sr[0].transpose(1, 2, 0), np.float32)


def to_nhwc(image: np.ndarray, dtype: str) -> np.ndarray:
    """Convert an image, uint8 H×W×C, to a 1×H×W×C tensor of the same values; int8 holds the value − 128."""
    return _shifted(image[None]).view(np.int8) if dtype == "int8" else np.ascontiguousarray(image[None], dtype)


def _shifted(values: np.ndarray) -> np.ndarray:
    """Add 128 to uint8 values, modulo 256. This converts the bytes of int8 values − 128 to uint8 values, and back."""
    shifted: np.ndarray = np.bitwise_xor(values, 128, order="C")
    return shifted


def to_nchw(image: np.ndarray, dtype: str) -> np.ndarray:
    """Convert an image, uint8 H×W×C, to a 1×C×H×W tensor of the same values."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype)
