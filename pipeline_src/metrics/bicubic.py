"""Print the bicubic reference table of docs/protocol.md for folders of HR images: mean Y PSNR at ×2, ×3 and ×4.

Example: python -m pipeline_src.metrics.bicubic results/fetch/evaluation/Set5
"""

import argparse
import statistics
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline_src import command
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import rgb_to_y
from pipeline_src.imaging.images import list_images, read_image
from pipeline_src.imaging.imresize import imresize_float, modcrop, round_to_uint8
from pipeline_src.metrics.psnr_ssim import psnr

SCALES = (2, 3, 4)


def reference_psnr_y(hr: np.ndarray, scale: int, threads: int = 1) -> float:
    """Return the Y PSNR in dB of the bicubic baseline as papers compute it, without rounding LR to 8 bits.

    Y is rounded to uint8 and resized as a double image, LR stays float, SR is rounded; ``scale`` pixels are shaved off.

    Args:
        hr: uint8 H×W×3 RGB, or H×W grey, which is its own Y.
        scale: down and up again.
        threads: of imresize.
    """
    hr = modcrop(hr, scale)
    y = hr if hr.ndim == 2 else rgb_to_y(hr)
    lr = imresize_float(y, Fraction(1, scale), threads)
    return psnr(y, round_to_uint8(imresize_float(lr, scale, threads)), shave=scale)


def print_table(folders: list[Path]) -> None:
    """Print a Markdown table: one row per folder, mean PSNR in dB over its images."""
    print("| folder | images |", " | ".join(f"×{scale}" for scale in SCALES), "|")
    print("|---|---|" + "---|" * len(SCALES))
    for folder in folders:
        images = [read_image(file) for file in list_images(folder)]
        if not images:
            raise UserError(f"the folder {folder} has no images; name the folder with the HR images of a set")
        means = [statistics.fmean(reference_psnr_y(image, scale) for image in images) for scale in SCALES]
        print(f"| {folder} | {len(images)} |", " | ".join(f"{mean:.2f}" for mean in means), "|", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="a folder of HR images")
    sys.exit(command.exit_status(print_table, parser.parse_args().folders))
