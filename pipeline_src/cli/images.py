"""What ``superres upscale`` and ``superres downscale`` share: their arguments, and which image goes to which file."""

import argparse
from collections import Counter
from pathlib import Path

from pipeline_src.command import count
from pipeline_src.errors import UserError


def add_image_arguments(parser: argparse.ArgumentParser, model_help: str) -> None:
    """Add the arguments for the images, the output, the model, and the threads."""
    parser.add_argument("inputs", nargs="+", type=Path, help="images, or folders of images")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, help="a file, or a folder if there are several images"
    )
    parser.add_argument("--model", required=True, help=model_help)
    parser.add_argument("--threads", type=count, default=2, help="default 2")


def jobs(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return each image of ``inputs``, files and folders, with the file that it is written to.

    Args:
        inputs: Images, and folders of images.
        output: A file if there is one image, else a folder, in which each image becomes a PNG.

    Raises:
        UserError: If there are no images, or if one would be written over another or over itself.
    """
    from pipeline_src.imaging.images import SUFFIXES, list_images

    into_folder = len(inputs) > 1 or inputs[0].is_dir()
    files = [file for path in inputs for file in (list_images(path) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"{inputs[0]} holds no images ({' '.join(SUFFIXES)}); name a folder or files that do")
    pairs = [(file, output / f"{file.stem}.png" if into_folder else output) for file in files]
    target, times = Counter(target for _, target in pairs).most_common(1)[0]
    if times > 1:
        raise UserError(f"{times} images would all be written to {target}; rename them or name them apart")
    for source, target in pairs:
        if target.resolve() == source.resolve():
            raise UserError(f"{target} is the input itself; choose another --output")
    return pairs
