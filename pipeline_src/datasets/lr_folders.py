"""LR images of a set in place of those that bicubic makes: from a folder that the user has, or degraded.

Those of the user come from the folder that ``lr_folder`` of a set names: in a subfolder ``X2``, ``X3`` or ``X4`` for
each scale, or for a single scale in the folder itself. An LR image has the file name of its HR image, with or without
``x<scale>`` behind it, in any format, as in DIV2K (``0801x4.png``). The stage fetch copies them to ``LR/X<scale>`` in
the folder of the set, where they have the names of the HR images.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from pipeline_src.config import SCALES, Degradation
from pipeline_src.datasets.manifests import Entry
from pipeline_src.datasets.verification import WORKERS, refuse_equal_names
from pipeline_src.errors import UserError
from pipeline_src.imaging import degradation
from pipeline_src.imaging.images import describe, list_images, read_image, write_png
from pipeline_src.paths import own_lr_folder

Size = tuple[int, int]  # height and width in pixels
SEED = 1  # of degraded LR images: a set has the same ones whatever the seed of the trainings


def find(hr: Iterable[Path], folder: Path) -> dict[int, dict[Path, Path]]:
    """Find the LR image of each HR image by its name.

    Args:
        hr: the HR images as the user has them.
        folder: ``lr_folder`` of the set.

    Returns:
        The LR image of each HR image, by scale.

    Raises:
        UserError: if the folder or an image is missing, or an LR image belongs to no HR image, or two belong to one.
    """
    hr = list(hr)
    listed = list_images(folder)  # which says if there is no such folder
    folders = {scale: sub for scale in SCALES for sub in (folder / f"x{scale}", folder / f"X{scale}") if sub.is_dir()}
    if folders:
        return {scale: _by_hr(hr, list_images(sub), sub, scale) for scale, sub in folders.items()}
    if not listed:
        raise UserError(f"the LR folder {folder} holds neither images nor X2, X3 or X4; put the LR images there")
    scale = _scale_of(hr, listed)
    return {scale: _by_hr(hr, listed, folder, scale)}


def verified(hr: Mapping[Entry, Path], lr_folder: str) -> dict[Entry, Path]:
    """Return the LR images of a set by their entries in its manifest.

    Args:
        hr: the HR images of the set.
        lr_folder: as in params.yaml.

    Raises:
        UserError: as :func:`find`; also if an LR image is broken, or its size is not 1/scale of that of its HR image,
            cropped to a multiple of the scale.
    """
    folder = Path(lr_folder).expanduser()
    images: dict[Entry, Path] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        hr_sizes = dict(zip(hr.values(), pool.map(_size, hr.values()), strict=True))
        for scale, pairs in find(hr.values(), folder).items():
            for (hr_file, lr_file), lr_size in zip(pairs.items(), pool.map(_size, pairs.values()), strict=True):
                _refuse_wrong_size(hr_file, hr_sizes[hr_file], lr_file, lr_size, scale)
            for entry, hr_file in hr.items():
                lr_file = pairs[hr_file]
                stored = own_lr_folder(Path(), scale) / f"{Path(entry.file).stem}{lr_file.suffix.lower()}"
                source = f"{lr_folder}/{lr_file.relative_to(folder).as_posix()}"
                images[Entry(stored.as_posix(), **asdict(describe(lr_file)), source=source, verified="no")] = lr_file
    return images


def degraded(folder: Path, hr: Sequence[Entry], spec: Degradation) -> list[Entry]:
    """Write degraded LR images of the HR images of a set, of every scale, and return their entries in its manifest.

    Args:
        folder: of the set, with the HR images.
        hr: their entries.
        spec: what happens to them.

    Raises:
        UserError: if an image is smaller than the largest scale.
    """
    entries = []
    for entry in hr:
        image = read_image(folder / entry.file)
        if min(image.shape[:2]) < max(SCALES):
            raise UserError(
                f"{entry.source} is {entry.width}×{entry.height} pixels, smaller than the scale ×{max(SCALES)} of its "
                "degraded LR images; remove it from its set"
            )
        for scale, lr in degradation.of_scales(image, SCALES, spec, SEED, entry.file).items():
            file = own_lr_folder(Path(), scale) / f"{Path(entry.file).stem}.png"
            write_png(folder / file, lr)
            described = asdict(describe(folder / file))
            entries.append(Entry(file.as_posix(), **described, source=degradation.__name__, verified="drawn"))
    return entries


def _by_hr(hr: list[Path], lr: list[Path], folder: Path, scale: int) -> dict[Path, Path]:
    refuse_equal_names(str(folder), lr)
    stems = {file.stem for file in hr}
    named: dict[str, Path] = {}
    for file in lr:
        stem = file.stem if file.stem in stems else file.stem.removesuffix(f"x{scale}")
        if stem not in stems:
            raise UserError(f"the LR image {file} has no HR image {stem}; remove it, or add that")
        if stem in named:
            raise UserError(f"the LR images {named[stem]} and {file} are of one HR image, {stem}; remove one")
        named[stem] = file
    for file in hr:
        if file.stem not in named:
            raise UserError(f"the image {file} has no LR image {file.stem} in {folder}; add it, or remove the HR image")
    return {file: named[file.stem] for file in hr}


def _scale_of(hr: list[Path], lr: list[Path]) -> int:
    """Return the scale of the LR images of a folder without subfolders, by the sizes of the first pair of names."""
    by_stem = {file.stem: file for file in lr}
    for hr_file in hr:
        pairs = {scale: by_stem.get(hr_file.stem, by_stem.get(f"{hr_file.stem}x{scale}")) for scale in SCALES}
        for scale, lr_file in pairs.items():
            if lr_file and _lr_size(_size(hr_file), scale) == _size(lr_file):
                return scale
        if lr_file := next(filter(None, pairs.values()), None):
            raise UserError(
                f"{lr_file} of {_text(_size(lr_file))} pixels has not a half, a third or a quarter of the size of "
                f"{hr_file}, {_text(_size(hr_file))}; put LR images of that size there"
            )
    raise UserError(f"no image of {lr[0].parent} has the name of an HR image such as {hr[0].name}; rename them")


def _refuse_wrong_size(hr_file: Path, hr_size: Size, lr_file: Path, lr_size: Size, scale: int) -> None:
    if lr_size != _lr_size(hr_size, scale):
        raise UserError(
            f"the LR image {lr_file} is {_text(lr_size)}, but {hr_file} of {_text(hr_size)} pixels, cropped to a "
            f"multiple of {scale}, needs {_text(_lr_size(hr_size, scale))}; correct one of them"
        )


def _size(file: Path) -> Size:
    height, width = read_image(file).shape[:2]
    return height, width


def _lr_size(hr: Size, scale: int) -> Size:
    return hr[0] // scale, hr[1] // scale


def _text(size: Size) -> str:
    return f"{size[1]}×{size[0]}"
