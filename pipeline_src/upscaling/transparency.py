"""Colours under transparent pixels, which nobody sees, but which upscaling would carry into those that are seen."""

import numpy as np

LEAST_SEEN = 1 / 64  # of opaque


def fill_transparent(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give each pixel that is hardly seen the colours of the nearest one that is.

    Files hold any colours there, mostly black. A net or a bicubic kernel at the border of what is visible would mix
    them in, and leave a rim. Where opacity is below 1/64, colours that were multiplied by it once have no bits left, so
    they are no better; in an image that is nowhere more opaque only fully transparent pixels change.

    Args:
        colours: H×W or H×W×C of any dtype.
        alpha: uint8 or uint16 H×W; 0 is transparent.

    Returns:
        An image like ``colours``; ``colours`` itself if all pixels are seen, or none.
    """
    from scipy.ndimage import distance_transform_edt

    seen = alpha >= np.iinfo(alpha.dtype).max * LEAST_SEEN
    if not seen.any():
        seen = alpha > 0
    if seen.all() or not seen.any():
        return colours
    rows, columns = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    filled: np.ndarray = colours[rows, columns]
    return filled
