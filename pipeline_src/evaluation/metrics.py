"""PSNR and SSIM by the one protocol of the project, ``docs/protocol.md``."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline_src.data.bands import in_bands
from pipeline_src.errors import UserError

WINDOW = 11  # pixels of the Gaussian window of SSIM
SIGMA = 1.5


@dataclass(frozen=True)
class Quality:
    """PSNR in dB (``inf`` for identical images) and SSIM (at most 1) of one image."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


def quality(hr: np.ndarray, sr: np.ndarray, scale: int, shave: int | None = None, threads: int = 1) -> Quality:
    """Compare two uint8 images of one size, H×W×3 RGB or H×W grey, without ``shave`` pixels (``scale``) at each side.

    A grey image is used as it is: its two kinds of figures are the same. UserError if less than SSIM's window is left.
    """
    shave = scale if shave is None else shave
    hr, sr = _shaved(hr, sr, shave)
    if hr.dtype != np.uint8 or sr.dtype != np.uint8:
        raise ValueError(f"quality compares uint8 images, not {hr.dtype} and {sr.dtype}")
    rgb = psnr(hr, sr, threads=threads), ssim(hr, sr, threads=threads)
    if hr.ndim == 2:
        return Quality(*rgb, *rgb)
    hr, sr = luma(hr, threads), luma(sr, threads)
    return Quality(psnr(hr, sr, threads=threads), ssim(hr, sr, threads=threads), *rgb)


def luma(rgb: np.ndarray, threads: int = 1) -> np.ndarray:
    """``colour.rgb_to_y``, compiled: Y, uint8 H×W, rounded half up, of an RGB image, uint8 H×W×3."""
    from pipeline_src.evaluation.ssim import luma_of_rows

    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an RGB image is uint8 H×W×3, not {rgb.dtype} {rgb.shape}")
    rgb, y = np.ascontiguousarray(rgb), np.empty(rgb.shape[:2], np.uint8)
    in_bands(lambda first, last: luma_of_rows(rgb, first, last, y), len(y), threads)
    return y


def psnr(hr: np.ndarray, sr: np.ndarray, shave: int = 0, threads: int = 1) -> float:
    """Peak signal-to-noise ratio in dB, 10·log₁₀(255² / MSE), over all samples; ``inf`` for identical images.

    H×W or H×W×C in 0..255, uint8 or float, one size and type.
    """
    from pipeline_src.evaluation.ssim import squares_of_rows

    hr, sr = _shaved(hr, sr, shave)
    if hr.dtype == np.uint8:
        rows = np.zeros(len(hr), np.int64)
        flat = [np.ascontiguousarray(image).reshape(len(rows), -1) for image in (hr, sr)]
        in_bands(lambda first, last: squares_of_rows(*flat, first, last, rows), len(rows), threads)
        squares = float(rows.sum())
    else:
        squares = float(np.square(hr - sr).sum())
    return 10 * math.log10(255**2 * hr.size / squares) if squares else math.inf


def ssim(hr: np.ndarray, sr: np.ndarray, shave: int = 0, threads: int = 1) -> float:
    """Structural similarity (Wang et al. 2004, as their MATLAB ``ssim_index``), averaged over pixels and channels.

    Gaussian window of 11×11, σ = 1.5, only where it lies inside the image; K₁ = 0.01, K₂ = 0.03, L = 255; variances
    weighted by the window, without Bessel's correction; no down-sampling. Arguments as of :func:`psnr`.
    """
    from pipeline_src.evaluation.ssim import ssim_of_rows

    hr, sr = _shaved(hr, sr, shave)
    height, width = hr.shape[:2]
    if min(height, width) < WINDOW:
        raise UserError(
            f"an image has {width}×{height} pixels inside the border that is shaved off, but SSIM needs "
            f"{WINDOW}×{WINDOW}; remove it from its set"
        )
    rows = height - WINDOW + 1
    sums = np.zeros(rows)
    gaussian = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * SIGMA**2))
    gaussian /= gaussian.sum()
    hr, sr = hr.reshape(height, width, -1), sr.reshape(height, width, -1)

    def band(first: int, last: int) -> None:
        for channel in range(hr.shape[2]):
            ssim_of_rows(hr[..., channel], sr[..., channel], gaussian, first, last, sums)

    in_bands(band, rows, threads)
    return float(sums.sum() / (rows * (width - WINDOW + 1) * hr.shape[2]))


def _shaved(hr: np.ndarray, sr: np.ndarray, shave: int) -> tuple[np.ndarray, np.ndarray]:
    if hr.shape != sr.shape or hr.dtype != sr.dtype or hr.ndim not in (2, 3):
        raise ValueError(f"two images of one size and type, not {hr.dtype} {hr.shape} and {sr.dtype} {sr.shape}")
    inside = np.s_[shave : hr.shape[0] - shave, shave : hr.shape[1] - shave]
    return hr[inside], sr[inside]
