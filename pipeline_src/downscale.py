"""Make small 8-bit images with a learned downscaler, from which its upscaler rebuilds the large ones.

    downscale photo.png -o small.png --model car_x4
    upscale small.png -o photo_again.png --model car_x4

Any size: the small image has 1/scale of the pixels along each side, rounded up, and as PNG it remembers the size of the
photograph, to which ``upscale`` crops, and the model. The image is upright (EXIF); greyscale stays greyscale;
transparency is made smaller with bicubic; 16-bit images are read as 8-bit. JPEG spoils what the upscaler reads.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from pipeline_src import command
from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.upscale import NOTE, jobs, parser_of, refuse_lost_transparency, resized, save


def weights_of(model: str) -> tuple[Path, str]:
    """Of a system its downscaler's weights and kind; UserError if its downscaler learns nothing."""
    params = settings.load()
    system = params.system(model)
    if not system.downscaler.learns:
        able = [name for name, one in params.systems.items() if one.downscaler.learns]
        raise UserError(
            f"{model} upscales images made by {system.downscaler.model}, and learns no downscaling; "
            f"choose another --model ({', '.join(able) or 'params.yaml has none'})"
        )
    return settings.downscaler(model) / "weights.safetensors", system.downscaler.model


def downscale_files(inputs: list[Path], output: Path, model: str, threads: int) -> None:
    """Downscale images and folders of images to ``output``: a file, or a folder of PNGs when there are several."""
    import torch
    from tqdm import tqdm

    from pipeline_src import downscaling
    from pipeline_src.data.images import decode
    from pipeline_src.training.weights import load_downscaler

    weights, kind = weights_of(model)
    pairs = jobs(inputs, output)
    torch.set_num_threads(threads)
    net = load_downscaler(weights)
    downscale = partial(downscaling.downscale, kind, net)
    for source, target in tqdm(pairs, "downscale", unit="image"):
        image = decode(source)
        refuse_lost_transparency(image, source, target)
        small = resized(downscale, image, 1 / net.scale)
        small.info[NOTE] = f"{image.width}x{image.height} by {net.scale} for {model}"
        save(small, target)


def main() -> None:
    """The command ``downscale``."""
    args: Any = parser_of("downscale", __doc__, "a system of params.yaml whose downscaler learns").parse_args()
    sys.exit(command.exit_status(lambda: downscale_files(args.inputs, args.output, args.model, args.threads)))


if __name__ == "__main__":
    main()
