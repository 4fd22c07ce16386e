"""Upscale photographs with an exported model: one file, several, or whole folders.

    upscale photo.png -o large.png --model abpn_x3
    upscale holiday/ -o large/ --model abpn_x4 --runtime tflite --variant qat

The image is upright (EXIF) and of any size; it goes through the net in overlapping tiles, so that beside the two images
themselves memory does not grow with it. Greyscale stays greyscale; transparency is upscaled with bicubic; 16-bit images
are read as 8-bit, and the result is 8-bit.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command
from pipeline_src import params as settings
from pipeline_src.data.tiles import spans
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "openvino_fp16": "_fp16.xml", "tflite": ".tflite"}
WITHOUT_ALPHA = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm")
JPEG_QUALITY = 95
NOTE = "super_resolution"  # in a PNG of `downscale`: of what size the photograph was, as in "640x480 by 4 for car_x4"


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
    for top, keep_rows in spans(lr.shape[0], tile, overlap):
        for left, keep_columns in spans(lr.shape[1], tile, overlap):
            out = upscale(np.ascontiguousarray(lr[top : top + tile, left : left + tile]))
            rows, columns = _scaled(keep_rows, scale), _scaled(keep_columns, scale)
            y, x = top * scale, left * scale
            sr[rows, columns] = out[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
            progress()
    return sr


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)


def resized(resize: "Callable[[np.ndarray], np.ndarray]", image: "Image", scale: float) -> "Image":
    """An upright 8-bit image of any mode, resized: L and LA stay grey, transparency stays, all else becomes RGB.

    ``resize`` maps uint8 H×W×3 to uint8 of ``scale`` times the sides, rounded up. The colour profile is kept.
    """
    import numpy as np
    from PIL import Image as pillow

    from pipeline_src.data.colour import to_grey
    from pipeline_src.data.images import GREY
    from pipeline_src.data.imresize import imresize

    colours = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    rgb = resize(np.ascontiguousarray(colours[..., :3]))
    result = pillow.fromarray(to_grey(rgb) if image.mode in GREY else rgb)
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
    params = settings.load()
    scale = chosen_scale(model, params.scales_of(model), scale)
    if runtime == "torch":
        file = settings.weights(model, made_by=params.system(system).subnets)
    else:
        file = settings.results("export", model) / f"{variant}_x{scale}{SUFFIX[runtime]}"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run `make report` (or `dvc repro export@{system}`) to make it")
    return file


def jobs(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """Each image of ``inputs``, files and folders, and the file it goes to; UserError where two would be one."""
    from pipeline_src.data.images import SUFFIXES, list_images

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

    if not 0 <= overlap < tile:
        raise UserError(f"--overlap is {overlap} and --tile is {tile}; the overlap must be smaller than the tile")
    pairs = jobs(inputs, output)
    runner = runtimes.load(file, threads, scale=scale)
    for source, target in tqdm(pairs, "upscale", unit="image", disable=len(pairs) == 1):
        image = decode(source)
        refuse_lost_transparency(image, source, target)
        tiles = len(list(spans(image.height, tile, overlap))) * len(list(spans(image.width, tile, overlap)))
        with tqdm(total=tiles, desc=source.name, unit="tile", leave=len(pairs) == 1) as progress:
            tiled = partial(
                upscale_tiled, runner, scale=runner.scale, tile=tile, overlap=overlap, progress=progress.update
            )
            result = resized(tiled, image, runner.scale)
        save(cropped_as_noted(result, image, runner.scale, source), target)


def refuse_lost_transparency(image: "Image", source: Path, target: Path) -> None:
    """UserError if the format of ``target`` cannot hold the transparency of ``image``."""
    if image.has_transparency_data and target.suffix.lower() in WITHOUT_ALPHA:
        raise UserError(f"{source} has transparency, which {target.suffix} cannot hold; choose a .png output")


def cropped_as_noted(result: "Image", small: "Image", scale: int, source: Path) -> "Image":
    """``result`` without the rows and columns that only rounding up the size of ``small`` added, if that tells.

    UserError if ``small`` was made to be upscaled by another scale.
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6}) by (\d) for ([\w-]+)", str(small.info.get(NOTE, "")))
    if not found:
        return result
    width, height, noted = (int(part) for part in found.groups()[:3])
    if noted != scale:
        raise UserError(
            f"{source} was made to be upscaled ×{noted} by {found[4]}, not ×{scale}; choose --model {found[4]}"
        )
    whole = (-(-width // scale), -(-height // scale)) == small.size  # else it was cut or resized since
    return result.crop((0, 0, width, height)) if whole else result


def save(image: "Image", target: Path) -> None:
    """Write an image whole or not at all, with what its ``info`` holds of a colour profile and a size."""
    from PIL.PngImagePlugin import PngInfo

    from pipeline_src.files import whole_file

    texts = PngInfo()
    if NOTE in image.info:
        texts.add_text(NOTE, image.info[NOTE])
    try:
        with whole_file(target) as aside:
            image.save(aside, quality=JPEG_QUALITY, icc_profile=image.info.get("icc_profile"), pnginfo=texts)
    except ValueError:
        raise UserError(f"{target}: Pillow knows no image format of this name; choose .png or .jpg") from None
    except PermissionError:
        raise UserError(f"{target} cannot be written; choose an --output in a folder of yours") from None


def parser_of(name: str, description: str | None, models: str) -> argparse.ArgumentParser:
    """What ``upscale`` and ``downscale`` are both told: which images, where they go, by what, on how many threads."""
    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path, help="images, or folders of images")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, help="a file, or a folder if there are several images"
    )
    parser.add_argument("--model", required=True, help=models)
    parser.add_argument("--threads", type=command.count, default=2, help="default 2")
    return parser


def main() -> None:
    """The command ``upscale``."""
    parser = parser_of("upscale", __doc__, "a system of params.yaml, or an exported file")
    parser.add_argument("--scale", type=int, help="needed where the model has several")
    parser.add_argument("--runtime", choices=("torch", *SUFFIX), default="onnx", help="default: onnx")
    parser.add_argument("--variant", choices=("fp32", "ptq", "qat"), default="fp32", help="default: fp32")
    parser.add_argument("--tile", type=int, default=256, help="LR pixels a side of a tile (default 256)")
    parser.add_argument("--overlap", type=int, default=32, help="LR pixels that tiles share (default 32)")
    args = parser.parse_args()
    sys.exit(command.exit_status(_run, args))


def _run(args: argparse.Namespace) -> None:
    file = model_file(args.model, args.runtime, args.variant, args.scale)
    upscale_files(args.inputs, args.output, file, args.tile, args.overlap, args.threads, args.scale)


if __name__ == "__main__":
    main()
