"""Upscale photographs: one file, several, or whole folders.

    superres upscale photo.png                                   photo_x4.png beside it, by the best bundled net
    superres upscale holiday/ -o large/ --model abpn_x4 --runtime tflite --variant ptq
    superres upscale photo.png -o large.png --width 1920
    superres upscale photo.jpg --for photo                       without the noise and the blocks of JPEG

Without --model the net is the bundled one that is farthest above bicubic at the scale asked for (`superres models`), on
clean images, or with --for photo on photographs with the faults that they have on the web. For a size between two
scales, the next larger net upscales, and bicubic makes its image smaller.

Images of any size and kind: tiled, so that beside the two images themselves memory does not grow; folders with their
subfolders; upright (EXIF); greyscale, transparency, 16 bits, all frames of animations, EXIF, resolution and colour
profile are kept where the format of the output can hold them (docs/upscaling.md).
"""

import argparse
from functools import partial

from pipeline_src.cli.images import Wanted, add_image_arguments, jobs, summary
from pipeline_src.cli.main import run_command
from pipeline_src.cli.models import add_model_arguments, running
from pipeline_src.command import count
from pipeline_src.errors import UserError
from pipeline_src.library.entries import BICUBIC, DEGRADED
from pipeline_src.library.output_size import OutputSize, factor

KINDS = {"clean": BICUBIC, "photo": DEGRADED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres upscale``."""
    add_image_arguments(parser, "a name of `superres models`, a model file, or bicubic; default: the best bundled net")
    parser.add_argument(
        "--for", dest="kind", choices=KINDS, help="the images that the best bundled net is for; default: clean"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--scale", type=factor, metavar="FACTOR", help="such as 3 or 2.5; default: 4, or the largest that the model has"
    )
    size.add_argument("--width", type=count, metavar="PIXELS", help="of the upscaled image, instead of --scale")
    size.add_argument("--height", type=count, metavar="PIXELS", help="of the upscaled image, instead of --scale")
    add_model_arguments(parser)
    parser.add_argument("--tile", type=count, help="LR pixels a side of a tile (default 256)")
    parser.add_argument("--overlap", type=int, help="LR pixels that tiles share (default 32)")


def run(args: argparse.Namespace) -> None:
    """Upscale the images that the arguments name."""
    from pipeline_src.library.nets import resolve
    from pipeline_src.library.upscaler import Tiling, Upscaler
    from pipeline_src.upscaling.batch import Resizing, run_batch
    from pipeline_src.upscaling.photographs import cropped_to_source

    size = OutputSize(args.scale, args.width, args.height)
    tiling = {name: value for name in ("tile", "overlap") if (value := getattr(args, name)) is not None}
    if args.model == BICUBIC and tiling:
        raise UserError(f"{BICUBIC} divides no image into tiles; leave --tile and --overlap out")
    if args.model and args.kind:
        raise UserError("--for chooses a bundled net, and --model names one; leave one of the two out")
    net = resolve(args.model, running(args), KINDS[args.kind or "clean"])
    upscaler = Upscaler(net, size, Tiling(**tiling))
    label = upscaler.label if args.output is None else ""
    batch = jobs(args.inputs, args.output, label, Wanted(args.format, args.quality))
    crop = partial(cropped_to_source, rebuilds=upscaler.rebuilds)
    resizing = Resizing(upscaler.plan, crop=crop, smaller=f"choose a smaller {size.option}, or crop it")
    done = run_batch(batch, resizing, "upscale")
    print(summary(done, args.output, upscaler.used()))


if __name__ == "__main__":
    run_command("upscale", __doc__, add_arguments, run)
