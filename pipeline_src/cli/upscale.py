"""Upscale photographs with an exported model: one file, several, or whole folders.

    superres upscale photo.png -o large.png --model abpn_x3
    superres upscale holiday/ -o large/ --model abpn_x4 --runtime tflite --variant qat

The image is upright (EXIF) and of any size; it goes through the net in overlapping tiles, so that beside the two images
themselves memory does not grow with it. Greyscale stays greyscale; transparency is upscaled with bicubic; 16-bit images
are read as 8-bit, and the result is 8-bit.
"""

import argparse
from functools import partial
from pathlib import Path

from pipeline_src.cli.images import add_image_arguments, jobs
from pipeline_src.cli.main import run_command
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError


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
    file = model_file(args.model, args.runtime, args.variant, args.scale)
    upscale_files(args.inputs, args.output, file, args.tile, args.overlap, args.threads, args.scale)


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


def upscale_files(
    inputs: list[Path],
    output: Path,
    file: Path,
    tile: int,
    overlap: int,
    threads: int,
    scale: int | None = None,
) -> None:
    """Upscale images and folders of images.

    Args:
        inputs: Images, and folders of images.
        output: A file, or a folder of PNGs if there are several images.
        file: The model, in any format.
        tile: LR pixels a side of a tile.
        overlap: LR pixels that tiles share.
        threads: Threads of the runtime.
        scale: Which of its scales, if the file has several.
    """
    from tqdm import tqdm

    from pipeline_src.deployment import runtimes
    from pipeline_src.imaging.images import decode
    from pipeline_src.upscaling.photographs import cropped_to_source, refuse_lost_transparency, resized, save
    from pipeline_src.upscaling.tiling import tile_count, upscale_tiled

    if not 0 <= overlap < tile:
        raise UserError(f"--overlap is {overlap} and --tile is {tile}; the overlap must be smaller than the tile")
    pairs = jobs(inputs, output)
    runner = runtimes.load(file, threads, scale=scale)
    for source, target in tqdm(pairs, "upscale", unit="image", disable=len(pairs) == 1):
        image = decode(source)
        refuse_lost_transparency(image, source, target)
        tiles = tile_count(image.height, image.width, tile, overlap)
        with tqdm(total=tiles, desc=source.name, unit="tile", leave=len(pairs) == 1) as progress:
            upscale = partial(
                upscale_tiled, runner, scale=runner.scale, tile=tile, overlap=overlap, progress=progress.update
            )
            result = resized(upscale, image, runner.scale)
        save(cropped_to_source(result, image, runner.scale, source), target)


if __name__ == "__main__":
    run_command("upscale", __doc__, add_arguments, run)
