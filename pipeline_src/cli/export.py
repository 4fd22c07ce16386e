"""Export one file of a net, of any size, with its card.

    superres export --model abpn_x3 --format tflite --variant ptq --size 270x480 -o net.tflite
    superres export --model abpn_x4 --format onnx
    superres export --model carn_m --scale 2 --format tensorrt --variant ptq --size 360x640
    superres export --model conv_x4 --downscaler --format tflite --variant ptq --size 720x1280

With --downscaler the file is of the learned downscaler of the net: of fp32 or ptq, and --size is that of HR images.
The file takes images of any size, or of the one height and width of --size, which NPUs and GPUs want. --format tensorrt
is ONNX of the int8 form that TensorRT takes: signed, symmetric, with float images at both ends.

A bundled net has fp32 weights, and its ptq is calibrated here: on the images of --calibrate, which should be like those
that the net will upscale, or else on photographs of scikit-image. A net of a run has the variants that the stage
quantize made.
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.main import filled, filled_path, run_command
from pipeline_src.command import count
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.deployment.interface import SMALLEST, VARIANTS, Size

if TYPE_CHECKING:
    from pipeline_src.library.files import Wanted

TENSORRT = "tensorrt"
LARGEST = 99_999  # pixels a side of --size


def size(text: str) -> Size:
    """Return height and width of ``270x480``, as the type of an argument."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if not match or min(int(match[1]), int(match[2])) < SMALLEST:
        raise argparse.ArgumentTypeError(
            f"{text} is no height and width from {SMALLEST} to {LARGEST} each, such as 270x480"
        )
    return int(match[1]), int(match[2])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres export``."""
    parser.add_argument("--model", required=True, type=filled, help="a name of `superres models`")
    parser.add_argument("--downscaler", action="store_true", help="the learned downscaler of the net, not the net")
    parser.add_argument("--format", required=True, choices=(*FORMATS, TENSORRT))
    parser.add_argument("--variant", choices=VARIANTS, default="fp32", help="default: fp32")
    parser.add_argument("--scale", type=count, help="needed where the model has several")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--size", type=size, metavar="HxW", help="the one size of images that the file accepts")
    shape.add_argument("--dynamic", action="store_true", help="images of any size (default)")
    parser.add_argument("--calibrate", type=filled_path, metavar="FOLDER", help="images for the ptq of a bundled net")
    parser.add_argument(
        "-o", "--output", type=filled_path, metavar="FILE", help="default: named by the arguments, in this folder"
    )


def run(args: argparse.Namespace) -> None:
    """Write the file, and say where it is."""
    from pipeline_src.deployment import cards
    from pipeline_src.deployment.runtimes import chosen_scale
    from pipeline_src.errors import UserError
    from pipeline_src.library import files, places
    from pipeline_src.library.finding import find

    entry = find(args.model)
    if args.calibrate and (entry.source != "bundled" or args.variant != "ptq"):
        raise UserError("--calibrate is for the ptq of a bundled net; leave it out")
    scale = chosen_scale(entry.name, entry.scales, args.scale)
    wanted = files.Wanted(args.variant, args.format, scale, args.size, args.calibrate, args.downscaler)
    suffix = FORMATS["onnx" if args.format == TENSORRT else args.format].SUFFIX
    file = args.output or Path(f"{_stem(entry.name, wanted)}{suffix}")
    if file.is_dir():
        raise UserError(f"{file} is a folder; name a file that ends in {suffix} by --output")
    if not file.name.endswith(suffix):
        raise UserError(f"{file} must end in {suffix}, as files of the format {args.format} do; correct --output")
    places.check_place(file, into_folder=False)
    with places.writing(file):
        files.export(entry, wanted, file)
    print(f"{file}, and its card {cards.path_of(file)}")


def _stem(name: str, wanted: "Wanted") -> str:
    parts = [name.replace("/", "_"), *["downscaler"] * wanted.downscaler, wanted.variant, f"x{wanted.scale}"]
    parts += [TENSORRT] * (wanted.format_name == TENSORRT)
    return "_".join(parts + ([f"{wanted.size[0]}x{wanted.size[1]}"] if wanted.size else []))


if __name__ == "__main__":
    run_command("export", __doc__, add_arguments, run)
