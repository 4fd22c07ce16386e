"""Make small 8-bit images: with a learned downscaler, from which its upscaler rebuilds the large ones, or with bicubic.

    superres downscale photo.png -o small.png --model car_x4
    superres upscale small.png -o photo_again.png --model car_x4
    superres downscale photo.png --model bicubic --scale 3      photo_d3.png beside it
    superres downscale photo.png --model conv_x4 --runtime tflite --variant ptq     as a small device computes it

Bicubic is MATLAB's imresize of a uint8 image, pixel for pixel, as the evaluation protocol has it; its images record
nothing. What follows is said of a learned downscaler.

Any size: the small image has 1/scale of the pixels along each side, rounded up, and as PNG it records the model and the
size of the photograph, to which ``upscale`` crops. The image is upright (EXIF); greyscale stays greyscale; transparency
is made smaller with bicubic; 16-bit images are read as 8-bit. JPEG spoils what the upscaler reads.
"""

import argparse
from functools import partial

from pipeline_src.cli.images import Wanted, add_image_arguments, jobs, summary
from pipeline_src.cli.main import run_command
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.library.entries import BICUBIC
from pipeline_src.library.output_size import factor, factor_label


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres downscale``."""
    add_image_arguments(parser, "a net whose downscaler learns, or bicubic (default)")
    parser.add_argument("--scale", type=factor, help="by how much images get smaller, such as 3 or 2.5; for bicubic")
    parser.add_argument("--runtime", choices=("torch", *FORMATS), help="default: torch, or tflite of the variant ptq")
    parser.add_argument("--variant", choices=("fp32", "ptq"), help="default: fp32")


def run(args: argparse.Namespace) -> None:
    """Downscale the images that the arguments name."""
    from pipeline_src.library.downscaling import resolve
    from pipeline_src.library.nets import Running
    from pipeline_src.upscaling.batch import Resizing, Whole, run_batch
    from pipeline_src.upscaling.photographs import source_note

    model = BICUBIC if args.model is None else args.model
    running = Running(args.runtime, args.variant, threads=args.threads)
    downscale, by, learned = resolve(model, args.scale, running)
    batch = jobs(args.inputs, args.output, f"d{factor_label(by)[1:]}", Wanted(args.format, args.quality))
    plan, texts = Whole(1 / by, downscale), partial(source_note, scale=int(by), system=model)
    resizing = Resizing(lambda height, width: plan, texts=texts if learned else lambda frame: {}, wide=False)
    done = run_batch(batch, resizing, "downscale")
    print(summary(done, args.output, f"{model} 1/{float(by):g}"))


if __name__ == "__main__":
    run_command("downscale", __doc__, add_arguments, run)
