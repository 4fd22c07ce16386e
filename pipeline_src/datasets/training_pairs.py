"""The HR and LR images of ``train.h5``, made from the images of the training sets."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline_src.config import BuildH5
from pipeline_src.datasets import own_lr
from pipeline_src.datasets.hdf5 import ImageRecord, Split
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb
from pipeline_src.imaging.images import read_image
from pipeline_src.imaging.imresize import imresize, modcrop
from pipeline_src.progress import progress_bar

SMALLEST = 32  # HR pixels per side; a little more than SSIM needs for a validation image at every scale


def training_pairs(
    files: Sequence[Path], spec: BuildH5, threads: int, factors_of_sets: Mapping[str, Sequence[float]] | None = None
) -> Iterator[ImageRecord]:
    """Yield the images in the order of ``files``, which are decoded ahead of use.

    A training image is yielded once for each of ``spec.resize_factors`` after which it still has ``SMALLEST`` pixels
    per side, with the name ``<set>/<file>@<factor>`` if it was resized. Validation images keep their size.

    A set with LR images of its own has these in place of bicubic's, and no resized copies.

    Args:
        files: ``<set>/<file>``, in folders of the stage fetch.
        spec: scales, resize factors, and the interval of validation images.
        threads: number of threads for decoding, and for resizing.
        factors_of_sets: resize factors by set, of those that have others than ``spec``.

    Raises:
        UserError: if an image is broken or has fewer than ``SMALLEST`` pixels a side, or if a set has LR images of its
            own but not of every scale.
    """
    factors_of_sets = factors_of_sets or {}
    own = {folder: own_lr.scales_of(folder) for folder in {file.parent for file in files}}
    for folder, scales in own.items():
        own_lr.refuse_missing_scales(folder.name, scales, spec.scales)
    for index, (file, image) in enumerate(_decoded(files, threads)):
        hr = as_rgb(image)
        if min(hr.shape[:2]) < SMALLEST:
            raise UserError(f"{file} is smaller than {SMALLEST} pixels; remove it from its set")
        split: Split = "validation" if index % spec.validation_every == spec.validation_every - 1 else "training"
        name = f"{file.parent.name}/{file.name}"
        if own[file.parent]:
            yield split, name, hr, {scale: as_rgb(own_lr.read(file, scale)) for scale in spec.scales}
            continue
        factors = factors_of_sets.get(file.parent.name, spec.resize_factors)
        for factor in factors if split == "training" else [1.0]:
            resized = hr if factor == 1 else imresize(hr, factor, spec.matlab, threads)
            if min(resized.shape[:2]) >= SMALLEST:
                lr = {s: imresize(modcrop(resized, s), 1 / s, spec.matlab, threads) for s in spec.scales}
                yield split, name if factor == 1 else f"{name}@{factor:g}", resized, lr


def _decoded(files: Sequence[Path], threads: int) -> Iterator[tuple[Path, np.ndarray]]:
    ahead = 2 * threads
    with ThreadPoolExecutor(threads) as decoders, progress_bar(None, "build_h5", "image", total=len(files)) as bar:
        decoding = [decoders.submit(read_image, file) for file in files[:ahead]]
        for index, file in enumerate(files):
            image = decoding.pop(0).result()
            if index + ahead < len(files):
                decoding.append(decoders.submit(read_image, files[index + ahead]))
            yield file, image
            bar.update()
