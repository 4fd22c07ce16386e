"""Comparison of learned LR images with bicubic's, and the quality of SR when LR is stored as JPEG."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline_src.imaging.colour import as_rgb, rgb_to_y_float
from pipeline_src.imaging.images import as_jpeg, as_png, through_jpeg
from pipeline_src.metrics.protocol import EvaluationImage, match_channels
from pipeline_src.metrics.psnr_ssim import WINDOW, luma, psnr, quality, ssim

JPEG_QUALITIES = (30, 50, 70, 80, 90)  # with 4:2:0 chroma subsampling


@dataclass(frozen=True)
class Fidelity:
    """How an LR image compares with bicubic's LR and with HR; the columns of ``lr.csv``.

    Attributes:
        psnr_y: PSNR in dB on Y to bicubic's LR.
        ssim_y: SSIM on Y to bicubic's LR; ``nan`` for an image smaller than SSIM's window.
        aliasing: root mean square difference on Y, in levels, to HR without the frequencies that LR cannot represent.
        tone_shift: mean Y of LR less mean Y of HR, in levels.
        png_bytes: size of the LR image as a PNG file.
    """

    psnr_y: float
    ssim_y: float
    aliasing: float
    tone_shift: float
    png_bytes: int


@dataclass(frozen=True)
class RoundTrip:
    """An LR image, uint8 h×w×3, and the function that upscales it to SR, uint8 H×W×3."""

    lr: np.ndarray
    upscale: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class JpegScores:
    """Quality of SR when LR is stored as JPEG; the columns of ``jpeg.csv``.

    Attributes:
        quality: the quality setting of the JPEG file, 1 to 100.
        bytes: size of the JPEG file.
        psnr_y: PSNR in dB on Y of the SR image to HR.
        ssim_y: SSIM on Y of the SR image to HR.
    """

    quality: int
    bytes: int
    psnr_y: float
    ssim_y: float


def fidelity(image: EvaluationImage, lr: np.ndarray) -> Fidelity:
    """Compare an LR image of ``image.hr``, uint8 h×w×3 or grey h×w, with bicubic's LR and with HR itself."""
    lr_y, bicubic_y = (pixels if pixels.ndim == 2 else luma(pixels) for pixels in (lr, image.lr))
    lr_float, hr_float = (rgb_to_y_float(as_rgb(pixels)) for pixels in (lr, image.hr))
    return Fidelity(
        psnr_y=psnr(bicubic_y, lr_y),
        ssim_y=float("nan") if min(lr.shape[:2]) < WINDOW else ssim(bicubic_y, lr_y),
        aliasing=float(np.sqrt(np.mean((lr_float - band_limited(hr_float, image.scale)) ** 2))),
        tone_shift=float(lr_float.mean() - hr_float.mean()),
        png_bytes=len(as_png(lr)),
    )


def band_limited(plane: np.ndarray, scale: int) -> np.ndarray:
    """Return a plane, float H×W, at 1/scale of its size: the low frequencies of its cosine transform, and no others."""
    from scipy.fft import dctn, idctn

    height, width = (side // scale for side in plane.shape)
    low: np.ndarray = idctn(dctn(plane, norm="ortho")[:height, :width], norm="ortho") / scale
    return low


def jpeg_curve(image: EvaluationImage, round_trip: RoundTrip) -> Iterator[JpegScores]:
    """Yield, for each of ``JPEG_QUALITIES``, the quality of SR when LR is compressed by JPEG on the way."""
    for jpeg_quality in JPEG_QUALITIES:
        decoded = through_jpeg(round_trip.lr, jpeg_quality)
        sr = match_channels(round_trip.upscale(decoded), image.hr)
        scores = quality(image.hr, sr, image.scale)
        yield JpegScores(jpeg_quality, len(as_jpeg(round_trip.lr, jpeg_quality)), scores.psnr_y, scores.ssim_y)
