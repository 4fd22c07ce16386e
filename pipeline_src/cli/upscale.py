"""Upscale photographs with an exported model: one file, several, or whole folders.

    superres upscale photo.png -o large.png --model abpn_x3
    superres upscale holiday/ -o large/ --model abpn_x4 --runtime tflite --variant qat

Images of any size and kind: tiled, so that beside the two images themselves memory does not grow; folders with their
subfolders; upright (EXIF); greyscale, transparency, 16 bits, all frames of animations, EXIF, resolution and colour
profile are kept where the format of the output can hold them (docs/upscaling.md).
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.images import add_image_arguments, jobs
from pipeline_src.cli.main import run_command
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Runner
    from pipeline_src.upscaling.batch import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres upscale``."""
    add_image_arguments(parser, "a system of params.yaml, or an exported file")
    parser.add_argument("--scale", type=int, help="needed where the model has several")
    parser.add_argument("--runtime", choices=("torch", *FORMATS), default="onnx", help="default: onnx")
    parser.add_argument("--variant", choices=("fp32", "ptq", "qat"), default="fp32", help="default: fp32")
    parser.add_argument("--tile", type=int, default=256, help="LR pixels a side of a tile (default 256)")
    parser.add_argument("--overlap", type=int, default=32, help="LR pixels that tiles share (default 32)")


def run(args: argparse.Namespace) -> None:
    """Upscale the images that the arguments name."""
    from pipeline_src.deployment import runtimes

    batch = jobs(args.inputs, args.output, args.format, args.quality)
    file = model_file(args.model, args.runtime, args.variant, args.scale)
    upscale_files(batch, runtimes.load(file, args.threads, scale=args.scale), args.tile, args.overlap)


def model_file(model: str, runtime: str, variant: str, scale: int | None) -> Path:
    """Return the file of a model: ``model`` itself if it is a path, else the exported (or torch) file of that net.

    Raises:
        UserError: If the system has several scales and ``scale`` is None, if it does not have this scale, or if there
            is no file.
    """
    from pipeline_src import config, paths
    from pipeline_src.deployment.runtimes import chosen_scale

    if Path(model).suffix:
        return Path(model)
    if runtime == "torch" and variant != "fp32":
        raise UserError("torch runs the variant fp32 only; choose another --runtime or --variant fp32")
    system = model.partition("/")[0]
    params = config.load()
    scale = chosen_scale(model, params.scales_of(model), scale)
    if runtime == "torch":
        file = paths.nets(system)[model]
    else:
        file = paths.results("export", model) / f"{variant}_x{scale}{FORMATS[runtime].SUFFIX}"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run `make report` (or `dvc repro export@{system}`) to make it")
    return file


def upscale_files(batch: "Sequence[Job]", runner: "Runner", tile: int, overlap: int) -> None:
    """Upscale images.

    Args:
        batch: The images, of :func:`pipeline_src.cli.images.jobs`.
        runner: The model, in any runtime.
        tile: LR pixels a side of a tile.
        overlap: LR pixels that tiles share.

    Raises:
        UserError: If an image cannot be upscaled; the others are.
    """
    from pipeline_src.upscaling.batch import Resizing, run_batch
    from pipeline_src.upscaling.photographs import cropped_to_source
    from pipeline_src.upscaling.tiling import tile_count, upscale_tiled
    from pipeline_src.upscaling.wide import keeping_depth

    if not 0 <= overlap < tile:
        raise UserError(f"--overlap is {overlap} and --tile is {tile}; the overlap must be smaller than the tile")
    scale = runner.scale
    upscale = keeping_depth(runner, scale)
    resizing = Resizing(
        resize=lambda colours, progress: upscale_tiled(upscale, colours, scale, tile, overlap, progress),
        scale=scale,
        size=lambda width, height: (width * scale, height * scale),
        steps=lambda width, height: tile_count(height, width, tile, overlap),
        finish=partial(cropped_to_source, scale=scale),
    )
    run_batch(batch, resizing, "upscale")


if __name__ == "__main__":
    run_command("upscale", __doc__, add_arguments, run)
