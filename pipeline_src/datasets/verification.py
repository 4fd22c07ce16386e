"""Verification of the images of a set.

A set in ``catalogue.csv`` is compared by the hashes of its pixels. For other published sets (DIV2K, Urban100) number,
names and sizes are checked, and the first hashes seen are recorded. A user's own images only have to be readable.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline_src.datasets.catalogue import read_catalogue
from pipeline_src.datasets.known_sets import SETS, KnownSet
from pipeline_src.datasets.manifests import Entry
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import SUFFIXES, Description, describe, read_image
from pipeline_src.progress import progress_bar

WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Candidates:
    """Image files that may be those of a set.

    Attributes:
        location: the folder or address they come from, for error messages.
        sources: each file and its ``source`` in the manifest.
        verified: ``verified`` in the manifest, for images that the catalogue does not have.
        remedy: what the user can do, for the end of error messages.
    """

    location: str
    sources: dict[Path, str]
    verified: str
    remedy: str


def verify(name: str, candidates: Candidates) -> dict[Entry, Path]:
    """Find the images of the set ``name`` among ``candidates``.

    Returns:
        The path of each image by its entry in the manifest, sorted by file.

    Raises:
        UserError: if images are missing, wrong, or cannot be read.
    """
    refuse_none(name, candidates)
    catalogued = read_catalogue().get(name)
    descriptions = _describe_all(name, candidates.sources)
    if catalogued:
        files = _match_catalogue(name, candidates, descriptions, catalogued)
    else:
        refuse_equal_names(candidates.location, descriptions)
        if name in SETS:
            _check_known_set(name, SETS[name], candidates, descriptions)
        files = {path.name: path for path in descriptions}
    verified = "catalogue" if catalogued else candidates.verified
    return {
        Entry(file, **asdict(descriptions[path]), source=candidates.sources[path], verified=verified): path
        for file, path in sorted(files.items())
    }


def refuse_none(name: str, candidates: Candidates) -> None:
    """Check that there are candidates for the set ``name``; UserError if there are none."""
    if not candidates.sources:
        raise UserError(f"{candidates.location} holds no images of {name} ({' '.join(SUFFIXES)}); {candidates.remedy}")


def refuse_evaluation_images(name: str, entries: Iterable[Entry]) -> None:
    """Check that no image of a training set is an image of a catalogued set that is for evaluation only.

    Raises:
        UserError: naming both images.
    """
    held_out = {
        image.sha256_pixels: f"{set_name}/{file}"
        for set_name, images in read_catalogue().items()
        if set_name in SETS and SETS[set_name].evaluation_only
        for file, image in images.items()
    }
    for entry in entries:
        if entry.sha256_pixels in held_out:
            raise UserError(
                f"the image {entry.file} of the training set {name} is {held_out[entry.sha256_pixels]}, which is for "
                "evaluation only; remove it from the training set"
            )


def _describe_all(name: str, files: Iterable[Path]) -> dict[Path, Description]:
    files = list(files)

    def check_and_describe(path: Path) -> Description:
        if name not in SETS:
            read_image(path)  # refuses a user's image of 32-bit samples, which Pillow can decode
        return describe(path)

    with ThreadPoolExecutor(WORKERS) as pool:
        descriptions = progress_bar(pool.map(check_and_describe, files), f"verify {name}", "image", total=len(files))
        return dict(zip(files, descriptions, strict=True))


def _match_catalogue(
    name: str, candidates: Candidates, descriptions: dict[Path, Description], catalogued: dict[str, Description]
) -> dict[str, Path]:
    """Find the images of the catalogue by their pixels, and return the path of each by its file name."""
    unmatched = dict(descriptions)
    files: dict[str, Path] = {}
    missing: list[str] = []
    for file, expected in catalogued.items():
        stem = Path(file).stem
        matches = [path for path, image in unmatched.items() if image == expected]
        if matches:
            path = max(matches, key=lambda path: path.stem == stem)
            files[stem + path.suffix.lower()] = path
            del unmatched[path]
        else:
            missing.append(file)
    if missing:
        first = missing[0]
        namesakes = [image for path, image in descriptions.items() if path.stem == Path(first).stem]
        problem = _difference(namesakes[0], catalogued[first]) if namesakes else "is missing"
        raise UserError(
            f"{candidates.location} lacks {len(missing)} of the {len(catalogued)} images of {name}: the first, "
            f"{first}, {problem}; {candidates.remedy}"
        )
    return files


def _difference(image: Description, expected: Description) -> str:
    if (image.width, image.height, image.mode) == (expected.width, expected.height, expected.mode):
        return "has other pixels than the original"
    return (
        f"is {image.width}×{image.height} {image.mode}, the original {expected.width}×{expected.height} {expected.mode}"
    )


def refuse_equal_names(location: str, files: Iterable[Path]) -> None:
    """Check that no two files at ``location`` have the same name but for the suffix; UserError if there are any."""
    stems: dict[str, Path] = {}
    for path in files:
        if path.stem in stems:
            raise UserError(
                f"{location} has two images of the same name, {stems[path.stem].name} and {path.name}, "
                "which tables cannot distinguish; rename or remove one"
            )
        stems[path.stem] = path


def _check_known_set(name: str, known: KnownSet, candidates: Candidates, descriptions: dict[Path, Description]) -> None:
    """Check number, names and sizes of a published set without hashes."""
    stems = {path.stem for path in descriptions}
    missing = [f"{number:04}" for number in known.numbers or () if f"{number:04}" not in stems]
    if missing:
        raise UserError(
            f"{candidates.location} lacks {len(missing)} of the {known.images} images of {name}, the first is "
            f"{missing[0]}.png; {candidates.remedy}"
        )
    if len(descriptions) != known.images:
        raise UserError(
            f"{candidates.location} holds {len(descriptions)} images, but {name} has {known.images}; "
            f"{candidates.remedy}"
        )
    for path, image in descriptions.items():
        if known.side and known.side not in (image.width, image.height):
            raise UserError(
                f"the image {path} is {image.width}×{image.height}, but every image of {name} has a side of "
                f"{known.side} pixels; {candidates.remedy}"
            )
