"""Make small 8-bit images with a learned downscaler, from which its upscaler rebuilds the large ones.

    superres downscale photo.png -o small.png --model car_x4
    superres upscale small.png -o photo_again.png --model car_x4

Any size: the small image has 1/scale of the pixels along each side, rounded up, and as PNG it records the model and the
size of the photograph, to which ``upscale`` crops. The image is upright (EXIF); greyscale stays greyscale; transparency
is made smaller with bicubic; 16-bit images are read as 8-bit. JPEG spoils what the upscaler reads.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.images import add_image_arguments, jobs
from pipeline_src.cli.main import run_command
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.upscaling.batch import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres downscale``."""
    add_image_arguments(parser, "a system of params.yaml whose downscaler learns")


def run(args: argparse.Namespace) -> None:
    """Downscale the images that the arguments name."""
    downscale_files(jobs(args.inputs, args.output, args.format, args.quality), args.model, args.threads)


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


def downscale_files(batch: "Sequence[Job]", model: str, threads: int) -> None:
    """Downscale images.

    Args:
        batch: The images, of :func:`pipeline_src.cli.images.jobs`.
        model: A system whose downscaler learns.
        threads: Threads of torch.

    Raises:
        UserError: If an image cannot be downscaled; the others are.
    """
    import torch

    from pipeline_src import downscaling
    from pipeline_src.upscaling.batch import Resizing, run_batch
    from pipeline_src.upscaling.photographs import source_note
    from pipeline_src.weights import load_downscaler

    weights = weights_of(model)
    torch.set_num_threads(threads)
    net, kind = load_downscaler(weights)
    scale = net.scale

    def downscale(colours: "np.ndarray", progress: "Callable[[], object]") -> "np.ndarray":
        small = downscaling.downscale(kind, net, colours)
        progress()
        return small

    resizing = Resizing(
        resize=downscale,
        scale=1 / scale,
        size=lambda width, height: (-(-width // scale), -(-height // scale)),
        steps=lambda width, height: 1,
        wide=False,
        texts=lambda frame: source_note(frame, scale, model),
    )
    run_batch(batch, resizing, "downscale")


if __name__ == "__main__":
    run_command("downscale", __doc__, add_arguments, run)
