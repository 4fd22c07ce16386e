"""Colours under transparent pixels, which nobody sees, but which upscaling would carry into those that are seen."""

import numpy as np


def fill_transparent(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give each fully transparent pixel the colours of the nearest pixel that is not.

    Files hold any colours there, mostly black. A net or a bicubic kernel at the border of what is visible would mix
    them in, and leave a rim.

    Args:
        colours: H×W or H×W×C of any dtype.
        alpha: H×W; 0 is transparent.

    Returns:
        An image like ``colours``; ``colours`` itself if no pixel is transparent, or all are.
    """
    from scipy.ndimage import distance_transform_edt

    transparent = alpha == 0
    if transparent.all() or not transparent.any():
        return colours
    rows, columns = distance_transform_edt(transparent, return_distances=False, return_indices=True)
    filled: np.ndarray = colours[rows, columns]
    return filled
