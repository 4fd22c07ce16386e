"""The figures of one SR image by the protocol of the project, and by the variants of it that papers use."""

from collections.abc import Mapping

import numpy as np

from pipeline_src.imaging.colour import as_rgb, rgb_to_y, rgb_to_y_float
from pipeline_src.metrics.protocol import match_channels
from pipeline_src.metrics.psnr_ssim import psnr, quality, ssim

PROTOCOL: Mapping[str, str] = {  # the figures of docs/protocol.md: Y and SR rounded, shave = scale
    "psnr_y": "PSNR Y (dB)",
    "ssim_y": "SSIM Y",
    "psnr_rgb": "PSNR RGB (dB)",
    "ssim_rgb": "SSIM RGB",
}
VARIANTS: Mapping[str, str] = {  # each differs from the protocol in what it says alone
    "psnr_y_not_rounded": "PSNR Y, Y not rounded (BasicSR, many PyTorch repositories)",
    "ssim_y_not_rounded": "SSIM Y, Y not rounded",
    "psnr_y_shave0": "PSNR Y, nothing shaved",
    "psnr_y_shave1": "PSNR Y, 1 pixel shaved",
    "psnr_rgb_shave0": "PSNR RGB, nothing shaved",
    "psnr_rgb_shave1": "PSNR RGB, 1 pixel shaved (Mobile AI challenges, ABPN)",
    "psnr_y_truncated": "PSNR Y, SR truncated to 8 bits (CARN, CAR)",
    "psnr_y_grey_as_rgb": "PSNR Y, grey images converted from RGB to Y",
}


def figures(hr: np.ndarray, values: np.ndarray, scale: int, threads: int = 1) -> dict[str, float]:
    """Return the figures of ``PROTOCOL`` and ``VARIANTS`` for one image.

    Args:
        hr: uint8, H×W×3 RGB or H×W grey.
        values: the SR image before rounding, float32 H×W×3 in 0..255.
        scale: by how much the image was enlarged.
        threads: how many threads compute.

    Raises:
        UserError: if the image is too small for SSIM.
    """
    rounded, truncated = (
        match_channels(function(values.clip(0, 255)).astype(np.uint8), hr) for function in (np.rint, np.floor)
    )
    by_protocol = quality(hr, rounded, scale, threads=threads)
    hr_y, y, truncated_y = (image if image.ndim == 2 else rgb_to_y(image) for image in (hr, rounded, truncated))
    hr_float, float_y = (_float_luma(image) for image in (hr, rounded))
    return {
        "psnr_y": by_protocol.psnr_y,
        "ssim_y": by_protocol.ssim_y,
        "psnr_rgb": by_protocol.psnr_rgb,
        "ssim_rgb": by_protocol.ssim_rgb,
        "psnr_y_not_rounded": psnr(hr_float, float_y, scale),
        "ssim_y_not_rounded": ssim(hr_float, float_y, scale, threads),
        "psnr_y_shave0": psnr(hr_y, y, 0, threads),
        "psnr_y_shave1": psnr(hr_y, y, 1, threads),
        "psnr_rgb_shave0": psnr(hr, rounded, 0, threads),
        "psnr_rgb_shave1": psnr(hr, rounded, 1, threads),
        "psnr_y_truncated": psnr(hr_y, truncated_y, scale, threads),
        "psnr_y_grey_as_rgb": psnr(rgb_to_y(as_rgb(hr)), rgb_to_y(as_rgb(rounded)), scale, threads),
    }


def _float_luma(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) if image.ndim == 2 else rgb_to_y_float(image)
