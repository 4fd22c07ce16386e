"""Rounding of float images to 8 bits, half to even, compiled to a single pass over memory.

NumPy and torch need three or four passes over a full-HD image (10 to 30 ms); one pass takes 3 to 6 ms.
"""

import numpy as np

from pipeline_src.imaging.compiled import compiled


@compiled(fastmath=True)
def round_interleaved(sr: np.ndarray, image: np.ndarray) -> None:
    """Round float32 values, clipped to 0..255, into as many uint8 values; both arrays have one dimension."""
    for i in range(sr.size):
        image[i] = np.uint8(np.int32(np.rint(min(max(sr[i], np.float32(0)), np.float32(255)))))


@compiled(fastmath=True)
def round_planar(sr: np.ndarray, image: np.ndarray) -> None:
    """Round float32 C×H×W, clipped to 0..255, into uint8 H×W×C."""
    channels, height, width = sr.shape
    for y in range(height):
        for c in range(channels):  # outside the loop over x, so that the compiler vectorises that loop
            for x in range(width):
                image[y, x, c] = np.uint8(np.int32(np.rint(min(max(sr[c, y, x], np.float32(0)), np.float32(255)))))
