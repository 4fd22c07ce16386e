"""Make small 8-bit images: with a learned downscaler, from which its upscaler rebuilds the large ones, or with bicubic.

    superres downscale photo.png -o small.png --model car_x4
    superres upscale small.png -o photo_again.png --model car_x4
    superres downscale photo.png --model bicubic --scale 3      photo_d3.png beside it

Bicubic is MATLAB's imresize of a uint8 image, pixel for pixel, as the evaluation protocol has it; its images record
nothing. What follows is said of a learned downscaler.

Any size: the small image has 1/scale of the pixels along each side, rounded up, and as PNG it records the model and the
size of the photograph, to which ``upscale`` crops. The image is upright (EXIF); greyscale stays greyscale; transparency
is made smaller with bicubic; 16-bit images are read as 8-bit, but not by bicubic. JPEG spoils what the upscaler reads.
"""

import argparse
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline_src.cli.images import add_image_arguments, jobs
from pipeline_src.cli.main import run_command
from pipeline_src.library.entries import BICUBIC
from pipeline_src.library.output_size import factor, factor_label

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.library.downscaling import Downscale
    from pipeline_src.upscaling.batch import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres downscale``."""
    add_image_arguments(parser, "a net whose downscaler learns, or bicubic (default)")
    parser.add_argument("--scale", type=factor, help="by how much images get smaller, such as 3 or 2.5; for bicubic")


def run(args: argparse.Namespace) -> None:
    """Downscale the images that the arguments name."""
    from pipeline_src.library.downscaling import resolve

    downscale, by, learned = resolve(args.model or BICUBIC, args.scale, args.threads)
    label = f"d{factor_label(by)[1:]}" if args.output is None else ""
    batch = jobs(args.inputs, args.output, args.format, args.quality, label)
    downscale_files(batch, downscale, by, args.model if learned else None)


def downscale_files(batch: "Sequence[Job]", downscale: "Downscale", by: Fraction, learned_by: str | None) -> None:
    """Downscale images.

    Args:
        batch: The images, of :func:`pipeline_src.cli.images.jobs`.
        downscale: The downscaler.
        by: By how much images get smaller.
        learned_by: The net that learned the downscaler and rebuilds the large images; None for bicubic.

    Raises:
        UserError: If an image cannot be downscaled; the others are.
    """
    from pipeline_src.upscaling.batch import Resizing, run_batch
    from pipeline_src.upscaling.photographs import source_note

    def resize(colours: "np.ndarray", progress: "Callable[[], object]") -> "np.ndarray":
        small = downscale(colours)
        progress()
        return small

    resizing = Resizing(
        resize=resize,
        factor=lambda width, height: 1 / by,
        steps=lambda width, height: 1,
        wide=learned_by is None,
        texts=lambda frame: source_note(frame, int(by), learned_by) if learned_by else {},
    )
    run_batch(batch, resizing, "downscale")


if __name__ == "__main__":
    run_command("downscale", __doc__, add_arguments, run)
