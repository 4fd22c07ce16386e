"""Print by how much other protocols move the bicubic row of folders of HR images, as in docs/protocol.md.

Example: python -m pipeline_src.metrics.other_protocols results/fetch/evaluation/Set5
"""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

from pipeline_src import command
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb, rgb_to_y, rgb_to_y_float
from pipeline_src.imaging.images import list_images
from pipeline_src.imaging.imresize import imresize, imresize_float
from pipeline_src.metrics.protocol import EvaluationImage, load_evaluation_image
from pipeline_src.metrics.psnr_ssim import psnr

SCALES = (2, 3, 4)
EFFECTS = ("PSNR Y (dB)", "Y not rounded", "grey converted to Y", "SR truncated", "LR by double", "same LR pixels (%)")


def effects(image: EvaluationImage, threads: int = 1) -> list[float]:
    """Compute the bicubic row of one image by this protocol, and what others would add to it.

    Args:
        image: HR and LR.
        threads: of imresize.

    Returns:
        PSNR Y in dB by this protocol. In dB, the difference from it if Y is not rounded, if a grey image is converted
        from RGB to Y, if SR is cut off to 8 bits instead of rounded, and if LR is made of a double image; and the share
        of the LR pixels that are the same then, in percent.
    """
    hr, scale = image.hr, image.scale
    sr = image.bicubic(threads)
    own = _psnr_y(hr, sr, scale)
    not_rounded = psnr(rgb_to_y_float(hr), rgb_to_y_float(sr), scale) - own if hr.ndim == 3 else 0.0
    grey_converted = psnr(rgb_to_y(as_rgb(hr)), rgb_to_y(as_rgb(sr)), scale) - own
    truncated = np.clip(np.floor(imresize_float(image.lr, scale, threads)), 0, 255).astype(np.uint8)
    double = imresize(hr, 1 / scale, "double", threads)
    from_double = _psnr_y(hr, imresize(double, scale, "uint8", threads), scale)
    same = 100.0 * float((double == image.lr).mean())
    return [own, not_rounded, grey_converted, _psnr_y(hr, truncated, scale) - own, from_double - own, same]


def print_table(folders: list[Path]) -> None:
    """Print a Markdown table: one row per folder and scale, means over its images."""
    print("| folder | scale |", " | ".join(EFFECTS), "|")
    print("|---|---|" + "---:|" * len(EFFECTS))
    for folder in folders:
        files = list_images(folder)
        if not files:
            raise UserError(f"the folder {folder} has no images; name the folder with the HR images of a set")
        for scale in SCALES:
            rows = [effects(load_evaluation_image(file, scale, threads=1)) for file in files]
            first, *differences, same = (statistics.fmean(values) for values in zip(*rows, strict=True))
            cells = [f"{first:.2f}", *(f"{value:+.3f}" for value in differences), f"{same:.1f}"]
            print(f"| {folder} | ×{scale} |", " | ".join(cells), "|", flush=True)


def _psnr_y(hr: np.ndarray, sr: np.ndarray, scale: int) -> float:
    return psnr(hr, sr, scale) if hr.ndim == 2 else psnr(rgb_to_y(hr), rgb_to_y(sr), scale)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="a folder of HR images")
    sys.exit(command.exit_status(print_table, parser.parse_args().folders))
