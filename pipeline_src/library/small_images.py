"""LR images of the kind that a net was trained on, of HR images, to measure or calibrate it with."""

from fractions import Fraction

import numpy as np

from pipeline_src.library.entries import DEGRADED


def small_image(hr: np.ndarray, scale: int, lr: str, name: str) -> np.ndarray:
    """Return the LR image of an HR image.

    Args:
        hr: uint8 H×W×3 or H×W.
        scale: upscaling factor.
        lr: ``degraded`` for the faults of photographs on the web, and anything else for MATLAB's bicubic.
        name: of the image, from which its faults are drawn.

    Returns:
        uint8, with the channels of ``hr``.
    """
    if lr != DEGRADED:
        from pipeline_src.imaging.imresize import imresize

        return imresize(hr, Fraction(1, scale))
    from pipeline_src.config import Degradation
    from pipeline_src.datasets.lr_folders import SEED
    from pipeline_src.imaging.degradation import of_scales

    return of_scales(hr, [scale], Degradation(), SEED, name)[scale]
