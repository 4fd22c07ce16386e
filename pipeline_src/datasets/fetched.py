"""The images of a set that the stage fetch has written, checked against its manifest before anything uses them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline_src.datasets import own_lr
from pipeline_src.datasets.manifests import MANIFEST, read_manifest
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import list_images, pixels_sha256
from pipeline_src.paths import own_lr_folder


def images_of(folder: Path, threads: int) -> list[Path]:
    """Return the HR images of a set, sorted by name.

    The manifest decides what belongs to the set, and not what lies in the folder: an evaluation image that was copied
    into the folder of a training set must not be trained on, and no image may be missed or taken for another one.

    Args:
        folder: of the set, as the stage fetch writes it.
        threads: number of threads that decode the images.

    Raises:
        UserError: if the folder has not exactly the images of its manifest, if the pixels of one have changed, or if
            the manifest is missing, damaged or empty.
    """
    entries = read_manifest(folder)
    again = f"run the stage fetch@{folder.name} again (dvc repro -f fetch@{folder.name})"
    if not any(not entry.is_lr for entry in entries):
        raise UserError(f"{folder / MANIFEST} lists no image; {again}")
    listed = {folder / entry.file: entry for entry in entries}
    if len(listed) < len(entries):
        raise UserError(f"{folder / MANIFEST} lists an image twice; {again}")
    places = [folder, *(own_lr_folder(folder, scale) for scale in own_lr.scales_of(folder))]
    present = {file for place in places for file in list_images(place)}
    if extra := sorted(present - listed.keys()):
        raise UserError(f"{extra[0]} is not in the manifest of its set; remove it, or {again}")
    if missing := sorted(listed.keys() - present):
        raise UserError(f"{missing[0]} is in the manifest of its set, but does not exist; {again}")
    with ThreadPoolExecutor(threads) as decoders:
        for file, pixels in zip(listed, decoders.map(pixels_sha256, listed), strict=True):
            if pixels != listed[file].sha256_pixels:
                raise UserError(f"{file} has other pixels than its manifest says; {again}")
    return sorted(file for file, entry in listed.items() if not entry.is_lr)
