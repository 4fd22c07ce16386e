"""PSNR and SSIM by the evaluation protocol of the project, ``docs/protocol.md``."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.imaging.bands import in_bands

WINDOW = 11  # pixels of the Gaussian window of SSIM
SIGMA = 1.5


@dataclass(frozen=True)
class Quality:
    """PSNR in dB (``inf`` for identical images) and SSIM (at most 1) of one image, on Y and on RGB."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


def quality(hr: np.ndarray, sr: np.ndarray, scale: int, shave: int | None = None, threads: int = 1) -> Quality:
    """Measure an SR image against HR by the protocol.

    Args:
        hr: uint8, H×W×3 RGB or H×W grey. A grey image is its own Y: both kinds of figures are the same.
        sr: the same shape and type.
        scale: by how much the image was enlarged.
        shave: pixels left out at each side; None for ``scale`` pixels.
        threads: how many threads compute; the result does not depend on it.

    Raises:
        UserError: if less than SSIM's window is left inside the shaved border.
    """
    hr, sr = shave_border(hr, sr, scale if shave is None else shave)
    if hr.dtype != np.uint8 or sr.dtype != np.uint8:
        raise ValueError(f"quality compares uint8 images, not {hr.dtype} and {sr.dtype}")
    rgb = psnr(hr, sr, threads=threads), ssim(hr, sr, threads=threads)
    if hr.ndim == 2:
        return Quality(*rgb, *rgb)
    hr, sr = luma(hr, threads), luma(sr, threads)
    return Quality(psnr(hr, sr, threads=threads), ssim(hr, sr, threads=threads), *rgb)


def luma(rgb: np.ndarray, threads: int = 1) -> np.ndarray:
    """Return Y, uint8 H×W, rounded half up, of an RGB image, uint8 H×W×3: a compiled ``colour.rgb_to_y``."""
    from pipeline_src.metrics.psnr_ssim.compiled import luma_of_rows

    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an RGB image is uint8 H×W×3, not {rgb.dtype} {rgb.shape}")
    rgb, y = np.ascontiguousarray(rgb), np.empty(rgb.shape[:2], np.uint8)
    in_bands(lambda first, last: luma_of_rows(rgb, first, last, y), len(y), threads)
    return y


def psnr(hr: np.ndarray, sr: np.ndarray, shave: int = 0, threads: int = 1) -> float:
    """Return the peak signal-to-noise ratio in dB, 10·log₁₀(255² / MSE), over all pixels and channels.

    Args:
        hr: H×W or H×W×C in 0..255, uint8 or float.
        sr: the same shape and type.
        shave: pixels left out at each side.
        threads: how many threads compute; the result does not depend on it.

    Returns:
        PSNR in dB; ``inf`` for identical images.
    """
    from pipeline_src.metrics.psnr_ssim.compiled import squared_error_of_rows

    hr, sr = shave_border(hr, sr, shave)
    if hr.dtype == np.uint8:
        row_sums = np.zeros(len(hr), np.int64)
        a, b = (np.ascontiguousarray(image).reshape(len(row_sums), -1) for image in (hr, sr))
        in_bands(lambda first, last: squared_error_of_rows(a, b, first, last, row_sums), len(row_sums), threads)
        squared_error = float(row_sums.sum())
    else:
        squared_error = float(np.square(hr - sr).sum())
    return 10 * math.log10(255**2 * hr.size / squared_error) if squared_error else math.inf


def ssim(hr: np.ndarray, sr: np.ndarray, shave: int = 0, threads: int = 1) -> float:
    """Return the structural similarity (Wang et al. 2004, as their MATLAB ``ssim_index``).

    Gaussian window of 11×11, σ = 1.5, only where it lies inside the image; K₁ = 0.01, K₂ = 0.03, L = 255; variances
    weighted by the window, without Bessel's correction; no down-sampling.

    Args:
        hr: H×W or H×W×C in 0..255, uint8 or float.
        sr: the same shape and type.
        shave: pixels left out at each side.
        threads: how many threads compute; the result does not depend on it.

    Returns:
        The mean over the pixels of the SSIM map and over the channels, at most 1.

    Raises:
        UserError: if less than the window is left inside the shaved border.
    """
    from pipeline_src.metrics.psnr_ssim.compiled import ssim_of_rows

    hr, sr = shave_border(hr, sr, shave)
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

    def add_rows(first: int, last: int) -> None:
        for channel in range(hr.shape[2]):
            ssim_of_rows(hr[..., channel], sr[..., channel], gaussian, first, last, sums)

    in_bands(add_rows, rows, threads)
    return float(sums.sum() / (rows * (width - WINDOW + 1) * hr.shape[2]))


def shave_border(hr: np.ndarray, sr: np.ndarray, shave: int) -> tuple[np.ndarray, np.ndarray]:
    """Return views of two images of one shape and type without ``shave`` pixels at each of their four sides."""
    if hr.shape != sr.shape or hr.dtype != sr.dtype or hr.ndim not in (2, 3):
        raise ValueError(f"two images of one size and type, not {hr.dtype} {hr.shape} and {sr.dtype} {sr.shape}")
    inside = np.s_[shave : hr.shape[0] - shave, shave : hr.shape[1] - shave]
    return hr[inside], sr[inside]
