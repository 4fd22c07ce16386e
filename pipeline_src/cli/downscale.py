"""Make small 8-bit images with a learned downscaler, from which its upscaler rebuilds the large ones.

    superres downscale photo.png -o small.png --model car_x4
    superres upscale small.png -o photo_again.png --model car_x4

Any size: the small image has 1/scale of the pixels along each side, rounded up, and as PNG it records the model and the
size of the photograph, to which ``upscale`` crops. The image is upright (EXIF); greyscale stays greyscale; transparency
is made smaller with bicubic; 16-bit images are read as 8-bit. JPEG spoils what the upscaler reads.
"""

import argparse
from functools import partial
from pathlib import Path

from pipeline_src.cli.images import add_image_arguments, jobs
from pipeline_src.cli.main import run_command
from pipeline_src.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres downscale``."""
    add_image_arguments(parser, "a system of params.yaml whose downscaler learns")


def run(args: argparse.Namespace) -> None:
    """Downscale the images that the arguments name."""
    downscale_files(args.inputs, args.output, args.model, args.threads)


def weights_of(model: str) -> Path:
    """Return the weights of a system's downscaler; UserError if its downscaler learns nothing."""
    from pipeline_src import config, paths

    params = config.load()
    downscaler = params.system(model).downscaler
    if not downscaler.learns:
        learned = [name for name, system in params.systems.items() if system.downscaler.learns]
        raise UserError(
            f"{model} upscales images made by {downscaler.model}, and learns no downscaling; "
            f"choose another --model ({', '.join(learned) or 'params.yaml has none'})"
        )
    return paths.downscaler(model) / "weights.safetensors"


def downscale_files(inputs: list[Path], output: Path, model: str, threads: int) -> None:
    """Downscale images and folders of images.

    Args:
        inputs: Images, and folders of images.
        output: A file, or a folder of PNGs if there are several images.
        model: A system whose downscaler learns.
        threads: Threads of torch.
    """
    import torch
    from tqdm import tqdm

    from pipeline_src import downscaling
    from pipeline_src.imaging.images import decode
    from pipeline_src.upscaling.photographs import note_source, refuse_lost_transparency, resized, save
    from pipeline_src.weights import load_downscaler

    weights = weights_of(model)
    pairs = jobs(inputs, output)
    torch.set_num_threads(threads)
    net, kind = load_downscaler(weights)
    downscale = partial(downscaling.downscale, kind, net)
    for source, target in tqdm(pairs, "downscale", unit="image"):
        image = decode(source)
        refuse_lost_transparency(image, source, target)
        small = resized(downscale, image, 1 / net.scale)
        note_source(small, image, net.scale, model)
        save(small, target)


if __name__ == "__main__":
    run_command("downscale", __doc__, add_arguments, run)
