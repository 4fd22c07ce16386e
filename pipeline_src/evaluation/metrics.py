"""PSNR and SSIM by the one protocol of the project, ``docs/protocol.md``."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline_src.data.bands import in_bands
from pipeline_src.data.colour import rgb_to_y
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
    rgb = psnr(hr, sr), ssim(hr, sr, threads=threads)
    if hr.ndim == 2:
        return Quality(*rgb, *rgb)
    hr, sr = rgb_to_y(hr), rgb_to_y(sr)
    return Quality(psnr(hr, sr), ssim(hr, sr, threads=threads), *rgb)


def psnr(hr: np.ndarray, sr: np.ndarray, shave: int = 0) -> float:
    """Peak signal-to-noise ratio in dB, 10·log₁₀(255² / MSE), over all samples; ``inf`` for identical images.

    H×W or H×W×C in 0..255, uint8 or float, one size and type.
    """
    hr, sr = _shaved(hr, sr, shave)
    if hr.dtype == np.uint8:
        error = np.subtract(hr, sr, dtype=np.int16)
        squares = float(np.square(error, dtype=np.int32).sum(dtype=np.int64))
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
    height, width, *channels = hr.shape
    if min(height, width) < WINDOW:
        raise UserError(
            f"an image has {width}×{height} pixels inside the border that is shaved off, but SSIM needs "
            f"{WINDOW}×{WINDOW}; remove it from its set"
        )
    rows = height - WINDOW + 1
    sums = np.zeros(rows)
    flat = [np.ascontiguousarray(image).reshape(height, -1) for image in (hr, sr)]
    gaussian = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * SIGMA**2))
    gaussian /= gaussian.sum()

    def band(first: int, last: int) -> None:
        ssim_of_rows(*flat, math.prod(channels), gaussian, first, last, sums)

    in_bands(band, rows, threads)
    return float(sums.sum() / (rows * (width - WINDOW + 1) * math.prod(channels)))


def _shaved(hr: np.ndarray, sr: np.ndarray, shave: int) -> tuple[np.ndarray, np.ndarray]:
    if hr.shape != sr.shape or hr.dtype != sr.dtype or hr.ndim not in (2, 3):
        raise ValueError(f"two images of one size and type, not {hr.dtype} {hr.shape} and {sr.dtype} {sr.shape}")
    inside = np.s_[shave : hr.shape[0] - shave, shave : hr.shape[1] - shave]
    return hr[inside], sr[inside]
