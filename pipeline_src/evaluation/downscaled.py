"""What a learned downscaler does to the small image itself: how far it is from bicubic's, and what JPEG does to it."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from pipeline_src.data.colour import as_rgb, rgb_to_y_float
from pipeline_src.data.images import as_jpeg, as_png, through_jpeg
from pipeline_src.evaluation.images import EvaluationImage, like
from pipeline_src.evaluation.metrics import WINDOW, luma, psnr, quality, ssim

Way = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]

QUALITIES = (30, 50, 70, 80, 90)  # of JPEG, 4:2:0


def fidelity(image: EvaluationImage, lr: np.ndarray) -> dict[str, float]:
    """What an LR image, uint8 h×w×3 or h×w, made of ``image.hr`` by bicubic or otherwise, is like.

    ``psnr_y`` and ``ssim_y`` to bicubic's LR (no SSIM of less than its window); ``aliasing``, the root mean square of
    its Y (in levels) less that of HR without all frequencies that LR cannot have; ``tone_shift``, by how much its mean
    Y is above that of HR (levels); ``png_bytes``, the size of its file.
    """
    small = min(lr.shape[:2]) < WINDOW
    ours, bicubic = (part if part.ndim == 2 else luma(part) for part in (lr, image.lr))
    y, hr = (rgb_to_y_float(as_rgb(part)) for part in (lr, image.hr))
    return {
        "psnr_y": psnr(bicubic, ours),
        "ssim_y": float("nan") if small else ssim(bicubic, ours),
        "aliasing": float(np.sqrt(np.mean((y - band_limited(hr, image.scale)) ** 2))),
        "tone_shift": float(y.mean() - hr.mean()),
        "png_bytes": len(as_png(lr)),
    }


def band_limited(plane: np.ndarray, scale: int) -> np.ndarray:
    """A plane, float H×W, at 1/scale of its size: the low frequencies of its cosine transform and nothing else."""
    from scipy.fft import dctn, idctn

    height, width = (side // scale for side in plane.shape)
    low: np.ndarray = idctn(dctn(plane, norm="ortho")[:height, :width], norm="ortho") / scale
    return low


def jpeg_curve(image: EvaluationImage, ways: Mapping[str, Way]) -> Iterator[dict[str, Any]]:
    """A row per way and JPEG quality: ``lr`` (the way), ``quality``, ``bytes`` of the file, and ``psnr_y`` and
    ``ssim_y`` of what is rebuilt from what the file gives back.

    A way is an LR image, uint8 h×w×3, and the upscaler of such an image.
    """
    for (name, (lr, upscale)), quality_of_file in product(ways.items(), QUALITIES):
        sr = like(upscale(through_jpeg(lr, quality_of_file)), image.hr)
        scores = quality(image.hr, sr, image.scale)
        size = len(as_jpeg(lr, quality_of_file))
        yield {"lr": name, "quality": quality_of_file, "bytes": size} | {
            "psnr_y": scores.psnr_y,
            "ssim_y": scores.ssim_y,
        }
