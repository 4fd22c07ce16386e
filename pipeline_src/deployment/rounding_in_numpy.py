"""What :mod:`.rounding` does, in three passes of NumPy, for devices that have no Numba."""

import numpy as np


def round_interleaved(sr: np.ndarray, image: np.ndarray) -> None:
    """Round float32 values, clipped to 0..255, into as many uint8 values; both arrays have one dimension."""
    image[...] = np.rint(np.clip(sr, 0, 255))


def round_planar(sr: np.ndarray, image: np.ndarray) -> None:
    """Round float32 C×H×W, clipped to 0..255, into uint8 H×W×C."""
    round_interleaved(sr, image.transpose(2, 0, 1))
