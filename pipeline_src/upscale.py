"""Upscale photographs with an exported model: one file, several, or whole folders.

    upscale photo.png -o large.png --model abpn_x3
    upscale holiday/ -o large/ --model abpn_x4 --runtime tflite --variant qat

The image is upright (EXIF) and of any size; it goes through the net in overlapping tiles, so that beside the two images
themselves memory does not grow with it. Greyscale stays greyscale; transparency is upscaled with bicubic; 16-bit images
are read as 8-bit, and the result is 8-bit.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command
from pipeline_src import params as settings
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "openvino_fp16": "_fp16.xml", "tflite": ".tflite"}
WITHOUT_ALPHA = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm")
JPEG_QUALITY = 95


def upscale_tiled(
    upscale: "Callable[[np.ndarray], np.ndarray]",
    lr: "np.ndarray",
    scale: int,
    tile: int,
    overlap: int,
    progress: Callable[[], Any] = lambda: None,
) -> "np.ndarray":
    """SR image, uint8 sH×sW×3, of an LR image, uint8 H×W×3, upscaled tile by tile.

    Tiles are at most ``tile`` LR pixels a side, all of one size, and share ``overlap`` pixels with their neighbours, of
    which each keeps the half farther from its own border. If half of ``overlap`` covers the net's receptive field the
    result is that of the whole image. ``progress`` is called after each tile.
    """
    import numpy as np

    sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), np.uint8)
    for top, keep_rows in _spans(lr.shape[0], tile, overlap):
        for left, keep_columns in _spans(lr.shape[1], tile, overlap):
            out = upscale(np.ascontiguousarray(lr[top : top + tile, left : left + tile]))
            rows, columns = _scaled(keep_rows, scale), _scaled(keep_columns, scale)
            y, x = top * scale, left * scale
            sr[rows, columns] = out[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
            progress()
    return sr


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, slice]]:
    """Start of each tile along one side, and the part of the image that is taken from it."""
    starts = [*range(0, max(length - tile, 0), tile - overlap), max(length - tile, 0)]
    seams = [0, *((a + tile + b) // 2 for a, b in pairwise(starts)), length]
    for start, begin, end in zip(starts, seams, seams[1:], strict=False):
        yield start, slice(begin, end)


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)


def upscale_image(upscale: "Callable[[np.ndarray], np.ndarray]", image: "Image", scale: int) -> "Image":
    """An upright 8-bit image of any mode, upscaled: L and LA stay grey, transparency stays, all else becomes RGB.

    ``upscale`` maps uint8 H×W×3 to uint8 sH×sW×3. The colour profile is kept.
    """
    import numpy as np
    from PIL import Image as pillow

    from pipeline_src.data.colour import to_grey
    from pipeline_src.data.images import GREY
    from pipeline_src.data.imresize import imresize

    colours = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    sr = upscale(np.ascontiguousarray(colours[..., :3]))
    if image.mode in GREY:
        sr = to_grey(sr)
    result = pillow.fromarray(sr)
    if image.has_transparency_data:
        result.putalpha(pillow.fromarray(imresize(colours[..., 3], scale)))
    if image.mode != "CMYK" and (profile := image.info.get("icc_profile")):  # a CMYK profile does not fit RGB
        result.info["icc_profile"] = profile
    return result


def model_file(model: str, runtime: str, variant: str, scale: int | None) -> Path:
    """The file of a model: ``model`` itself if it is a path, else the exported (or torch) file of that net.

    UserError if the system has several scales and ``scale`` is None, if it has not this one, or if there is no file.
    """
    from pipeline_src.deployment.runtimes import chosen_scale

    if Path(model).suffix:
        return Path(model)
    if runtime == "torch" and variant != "fp32":
        raise UserError("torch runs the variant fp32 only; choose another --runtime or --variant fp32")
    system = model.partition("/")[0]
    scale = chosen_scale(model, settings.load().system(system).scales, scale)
    if runtime == "torch":
        file = settings.weights(model)
    else:
        file = settings.results("export", model) / f"{variant}_x{scale}{SUFFIX[runtime]}"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run `make report` (or `dvc repro export@{system}`) to make it")
    return file


def _jobs(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    from pipeline_src.data.images import SUFFIXES, list_images

    into_folder = len(inputs) > 1 or inputs[0].is_dir()
    files = [file for path in inputs for file in (list_images(path) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"{inputs[0]} holds no images ({' '.join(SUFFIXES)}); name a folder or files that do")
    jobs = [(file, output / f"{file.stem}.png" if into_folder else output) for file in files]
    target, times = Counter(target for _, target in jobs).most_common(1)[0]
    if times > 1:
        raise UserError(f"{times} images would all be written to {target}; rename them or upscale them apart")
    for source, target in jobs:
        if target.resolve() == source.resolve():
            raise UserError(f"{target} is the input itself; choose another --output")
    return jobs


def upscale_files(
    inputs: list[Path],
    output: Path,
    file: Path,
    tile: int,
    overlap: int,
    threads: int,
    scale: int | None = None,
) -> None:
    """Upscale images and folders of images to ``output``: a file, or a folder of PNGs when there are several.

    ``scale`` chooses among those of a ``file`` that has several.
    """
    from tqdm import tqdm

    from pipeline_src.data.images import decode
    from pipeline_src.deployment import runtimes
    from pipeline_src.files import whole_file

    if not 0 <= overlap < tile:
        raise UserError(f"--overlap is {overlap} and --tile is {tile}; the overlap must be smaller than the tile")
    jobs = _jobs(inputs, output)
    runner = runtimes.load(file, threads, scale=scale)
    for source, target in tqdm(jobs, "upscale", unit="image", disable=len(jobs) == 1):
        image = decode(source)
        if image.has_transparency_data and target.suffix.lower() in WITHOUT_ALPHA:
            raise UserError(f"{source} has transparency, which {target.suffix} cannot hold; choose a .png output")
        tiles = len(list(_spans(image.height, tile, overlap))) * len(list(_spans(image.width, tile, overlap)))
        with tqdm(total=tiles, desc=source.name, unit="tile", leave=len(jobs) == 1) as progress:
            tiled = partial(
                upscale_tiled, runner, scale=runner.scale, tile=tile, overlap=overlap, progress=progress.update
            )
            result = upscale_image(tiled, image, runner.scale)
        try:
            with whole_file(target) as aside:
                result.save(aside, quality=JPEG_QUALITY, icc_profile=result.info.get("icc_profile"))
        except ValueError:
            raise UserError(f"{target}: Pillow knows no image format of this name; choose .png or .jpg") from None
        except PermissionError:
            raise UserError(f"{target} cannot be written; choose an --output in a folder of yours") from None


def main() -> None:
    """The command ``upscale``."""
    parser = argparse.ArgumentParser(
        prog="upscale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path, help="images, or folders of images")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, help="a file, or a folder if there are several images"
    )
    parser.add_argument("--model", required=True, help="a system of params.yaml, or an exported file")
    parser.add_argument("--scale", type=int, help="needed where the model has several")
    parser.add_argument("--runtime", choices=("torch", *SUFFIX), default="onnx", help="default: onnx")
    parser.add_argument("--variant", choices=("fp32", "ptq", "qat"), default="fp32", help="default: fp32")
    parser.add_argument("--tile", type=int, default=256, help="LR pixels a side of a tile (default 256)")
    parser.add_argument("--overlap", type=int, default=32, help="LR pixels that tiles share (default 32)")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    args = parser.parse_args()
    sys.exit(command.exit_status(_run, args))


def _run(args: argparse.Namespace) -> None:
    file = model_file(args.model, args.runtime, args.variant, args.scale)
    upscale_files(args.inputs, args.output, file, args.tile, args.overlap, args.threads, args.scale)


if __name__ == "__main__":
    main()
