"""Evaluation of a net on a folder of HR images, with LR images of the protocol or of the user."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline_src.deployment.interface import Runner
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb
from pipeline_src.imaging.images import read_image, write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.library.places import check_place, images_in, writing
from pipeline_src.library.upscaler import Tiling
from pipeline_src.metrics.protocol import EvaluationImage, evaluation_image, match_channels
from pipeline_src.metrics.psnr_ssim import WINDOW, psnr
from pipeline_src.metrics.variants import figures
from pipeline_src.upscaling.reading import read_header
from pipeline_src.upscaling.tiling import upscale_tiled

Row = dict[str, str | float]
TABLES = ("", ".csv", ".tsv", ".txt")  # suffixes of files that --csv may overwrite
BICUBIC_COLUMN = "bicubic_psnr_y"


@dataclass(frozen=True)
class ImagePair:
    """An HR image, and the LR image that is to become it.

    Attributes:
        hr_file: the HR image.
        lr_file: the LR image; None for that of the protocol.
    """

    hr_file: Path
    lr_file: Path | None = None

    def load(self, scale: int, threads: int) -> EvaluationImage:
        """Decode the pair; HR is cropped to what LR covers.

        Raises:
            UserError: if an image cannot be read, is too small, or the two do not fit at this scale.
        """
        pixels = read_image(self.hr_file)
        if self.lr_file is None:
            return evaluation_image(self.hr_file, pixels, scale, threads)
        lr = read_image(self.lr_file)
        for hr_side, lr_side in zip(pixels.shape[:2], lr.shape[:2], strict=True):
            if lr_side not in (hr_side // scale, -(-hr_side // scale)):
                raise UserError(
                    f"{self.lr_file} is {lr.shape[1]}×{lr.shape[0]} pixels and {self.hr_file} is {pixels.shape[1]}×"
                    f"{pixels.shape[0]}, which is not ×{scale}; choose another --scale, or make LR anew"
                )
        hr = pixels[: lr.shape[0] * scale, : lr.shape[1] * scale]
        if min(hr.shape[:2]) < WINDOW + 2 * scale:
            raise UserError(f"{self.hr_file} is too small for SSIM at ×{scale}; remove it from its folder")
        lr = as_rgb(lr) if hr.ndim == 3 else lr
        return EvaluationImage(self.hr_file.stem, np.ascontiguousarray(hr), lr, scale)


def pairs(hr: Path, lr: Path | None, scale: int, save: Path | None = None) -> list[ImagePair]:
    """Return the images of a folder, each with its LR image.

    Args:
        hr: folder of HR images.
        lr: folder of LR images of the same names, or of names that end in ``x<scale>`` besides, as DIV2K's do; None for
            those of the protocol.
        scale: upscaling factor.
        save: folder for SR images, whose images are not missed if it is in one of the others.

    Raises:
        UserError: if a folder has no images, or one of them has no LR image, or several.
    """
    besides = [folder for folder in (lr, save) if folder]
    files = images_in(hr, besides)
    if lr is None:
        return [ImagePair(file) for file in files]
    by_stem: dict[str, Path] = {}
    for file in images_in(lr, [hr, *besides]):
        if file.stem in by_stem:
            raise UserError(f"{by_stem[file.stem]} and {file} are both LR images of one name; remove one of them")
        by_stem[file.stem] = file
    return [ImagePair(file, _lr_of(file, by_stem, scale, lr)) for file in files]


def check_outputs(images: list[ImagePair], save: Path | None, csv: Path | None) -> None:
    """Check that the results of an evaluation can be written, and that they overwrite no image and one another.

    Args:
        images: from :func:`pairs`.
        save: folder for the SR images; None to keep none.
        csv: file for the figures; None for none.

    Raises:
        UserError: if not.
    """
    inputs = {file.resolve(): file for pair in images for file in (pair.hr_file, pair.lr_file) if file}
    folders = {file.parent.resolve() for file in inputs.values()}
    written: dict[Path, Path] = {}
    if save:
        check_place(save, into_folder=True, option="--save")
        if save.resolve() in folders:
            raise UserError(f"{save} is a folder of the images themselves; choose another --save")
        for pair in images:
            target = saved_file(save, pair)
            if target.resolve() in inputs:
                raise UserError(f"{target} is {inputs[target.resolve()]} itself; choose another --save")
            if target in written:
                raise UserError(
                    f"{written[target]} and {pair.hr_file} would both be written to {target}; rename one of them"
                )
            written[target] = pair.hr_file
    if csv:
        check_place(csv, into_folder=False, option="--csv")
        if csv.resolve() in {*inputs, *(target.resolve() for target in written)}:
            raise UserError(f"{csv} is one of the images; choose another --csv")
        if csv.exists() and csv.suffix.lower() not in TABLES:
            raise UserError(f"{csv} exists, and its name is not that of a table; choose another --csv")


def check_inputs(images: list[ImagePair], scale: int) -> None:
    """Check before any computing that all images are such and are large enough, as far as their headers say.

    Args:
        images: from :func:`pairs`.
        scale: upscaling factor.

    Raises:
        UserError: if one of them is not; it names it.
    """
    for pair in images:
        header, needed = read_header(pair.hr_file), WINDOW + 2 * scale
        if pair.lr_file is not None:
            read_header(pair.lr_file)
        elif min(header.width // scale, header.height // scale) * scale < needed:
            raise UserError(
                f"{pair.hr_file} is {header.width}×{header.height} pixels; SSIM at ×{scale} needs {needed} each way, "
                "in whole LR pixels: remove it from its folder"
            )


def saved_file(folder: Path, pair: ImagePair) -> Path:
    """Return the file in a folder that the SR image of a pair is written to."""
    return folder / f"{pair.hr_file.stem}.png"


def _lr_of(file: Path, by_stem: dict[str, Path], scale: int, folder: Path) -> Path:
    for stem in (file.stem, f"{file.stem}x{scale}", f"{file.stem}_x{scale}"):
        if stem in by_stem:
            return by_stem[stem]
    raise UserError(
        f"{folder} has no image {file.stem} or {file.stem}x{scale} for {file}; add it, or remove {file.name}"
    )


def evaluate(
    images: list[ImagePair],
    values_of: Callable[[np.ndarray], np.ndarray],
    scale: int,
    threads: int,
    save: Path | None = None,
    own_lr: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[Row]:
    """Yield a row for every image: its name, the figures of ``metrics.variants``, and bicubic's PSNR Y.

    Args:
        images: from :func:`pairs`.
        values_of: maps LR, uint8 h×w×3, to SR before rounding, float32 H×W×3.
        scale: upscaling factor.
        threads: of bicubic and the metrics.
        save: folder for the SR images; None to keep none.
        own_lr: a learned downscaler, from HR to LR, both uint8; None for the LR images of the pairs.
    """
    for pair in images:
        image = pair.load(scale, threads)
        lr = image.lr if own_lr is None else own_lr(image.hr)
        height, width = image.hr.shape[:2]
        values = values_of(as_rgb(lr))[:height, :width]
        row: Row = {"image": pair.hr_file.name, **figures(image.hr, values, scale, threads)}
        baseline = _luma(imresize(image.lr, scale, "uint8", threads)[:height, :width])
        row[BICUBIC_COLUMN] = psnr(_luma(image.hr), baseline, scale, threads)
        if save:
            rounded = np.rint(values.clip(0, 255)).astype(np.uint8)
            target = saved_file(save, pair)
            with writing(target, "--save"):
                write_png(target, match_channels(rounded, image.hr))
        yield row


def in_tiles(runner: Runner, tiling: Tiling) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from LR, uint8 h×w×3, to SR before rounding, float32 H×W×3; large images go in tiles."""
    tile, overlap = tiling.of(runner)
    return lambda lr: upscale_tiled(runner.values, lr, runner.scale, tile, overlap, dtype=np.float32)


def mean(rows: list[Row]) -> Row:
    """Return the mean over the images, as the row ``mean``."""
    columns = [column for column in rows[0] if column != "image"]
    return {"image": "mean"} | {column: sum(float(row[column]) for row in rows) / len(rows) for column in columns}


def _luma(image: np.ndarray) -> np.ndarray:
    from pipeline_src.metrics.psnr_ssim import luma

    return image if image.ndim == 2 else luma(image)
