"""Image sets: where to get one, and whether what came is what it should be.

A set comes from the user's own folder, else from the mirror (``SR_DATA_MIRROR``), else from its authors' archive. The
pixels of every image are compared with ``catalogue.csv``. For DIV2K and Urban100 that list has no hashes; their images
are checked for number, names, size and wholeness, and the hashes found are recorded as first seen in ``manifest.csv``
and, through it, in ``dvc.lock``.
"""

import csv
import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from pipeline_src.data.download import download, extract
from pipeline_src.data.images import SUFFIXES, Description, describe, list_images, read_image
from pipeline_src.data.known_sets import SETS, KnownSet
from pipeline_src.data.manifests import Entry, write_manifest
from pipeline_src.errors import UserError
from pipeline_src.params import SCRATCH, ImageSet

CATALOGUE = Path(__file__).parent / "catalogue.csv"
MIRROR = "SR_DATA_MIRROR"
DOWNLOADS = SCRATCH / "downloads"
WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Found:
    """Images that may be the set's, each with its ``source`` for the manifest; the rest is for error messages."""

    where: str
    sources: dict[Path, str]
    verified: str
    remedy: str


def obtain(name: str, spec: ImageSet, folder: Path) -> list[Entry]:
    """Get the image set ``name``, verify every image, copy them into ``folder`` as they are, and write the manifest.

    The images of a catalogued set get the names of the catalogue. UserError if the set cannot be had, lacks images or
    has other ones than it should, or is for evaluation only and ``spec`` wants to train on it.
    """
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise UserError(f"the image set {name!r} of params.yaml needs a name of letters, digits, _ and -")
    if spec.role == "training" and name in SETS and SETS[name].evaluation_only:
        raise UserError(f"the image set {name} is for evaluation only; give it the role evaluation in params.yaml")
    with _find(name, spec.folder) as found:
        entries = list(found)
        if spec.role == "training":
            _refuse_evaluation_images(name, entries)
        for entry, path in found.items():
            (folder / entry.file).write_bytes(path.read_bytes())
    write_manifest(folder, entries)
    return entries


def catalogue() -> dict[str, dict[str, Description]]:
    """Set → file → what its decoded pixels must be, from ``catalogue.csv``."""
    sets: dict[str, dict[str, Description]] = {}
    with CATALOGUE.open(newline="") as file:
        for row in csv.DictReader(file):
            sets.setdefault(row["set"], {})[row["file"]] = Description(
                int(row["width"]), int(row["height"]), row["mode"], row["sha256_pixels"]
            )
    return sets


@contextmanager
def _find(name: str, own: str | None) -> Iterator[dict[Entry, Path]]:
    known = SETS.get(name)
    mirror = os.environ.get(MIRROR)
    if mirror and not Path(mirror).expanduser().is_dir():
        raise UserError(f"{MIRROR} names {mirror}, which is not a folder; correct it or unset it")
    in_mirror = Path(mirror).expanduser() / name if mirror else None
    if own:
        yield _verify(name, _in_folder(Path(own).expanduser(), own, "first use" if known else "no"))
    elif name in ("samples", "samples_heldout"):
        yield _verify(name, _in_scikit_image(name))
    elif in_mirror and in_mirror.is_dir():
        yield _verify(name, _in_folder(in_mirror, f"{MIRROR}/{name}", "first use" if known else "no"))
    elif known and known.archives:
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DOWNLOADS, prefix=f"{name}.") as unpacked:
            yield _download(name, known, Path(unpacked))
    else:
        raise UserError(_how_to_provide(name))


def _how_to_provide(name: str) -> str:
    known = SETS.get(name)
    if not known:
        return (
            f"the image set {name} of params.yaml is not in the catalogue ({', '.join(SETS)}); give it a "
            f"`folder:` in params.yaml, or set {MIRROR} to a folder that holds {name}/HR"
        )
    return (
        f"the image set {name} ({known.cite}) is not at hand"
        + ("" if known.archives else " and has no permanent address to download it from")
        + f"; put its {known.images} HR images into {name}/HR of a folder and set {MIRROR} to that folder, or name the "
        f"folder with the images in params.yaml (sets: {name}: folder:)"
    )


def _in_folder(folder: Path, called: str, verified: str) -> Found:
    """The images of a folder or, if it has none itself, of its ``HR``: the layout of a mirror."""
    images = list_images(folder)
    if not images and (folder / "HR").is_dir():
        folder, called = folder / "HR", f"{called}/HR"
        images = list_images(folder)
    sources = {path: f"{called}/{path.name}" for path in images}
    return Found(str(folder), sources, verified, "put the original images there, in any lossless format")


def _in_scikit_image(name: str) -> Found:
    spec = importlib.util.find_spec("skimage")
    if not spec or not spec.submodule_search_locations:
        raise UserError(f"the image set {name} is part of scikit-image, which is not installed; install it with pip")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    source = f"scikit-image {metadata.version('scikit-image')}"
    images = [folder / file for file in catalogue()[name] if (folder / file).is_file()]
    sources = {path: f"{source}/data/{path.name}" for path in images}
    return Found(str(folder), sources, "no", "install the version of scikit-image that requirements.lock names")


def _name_for(url: str) -> str:
    """A file name for a download that no other address shares: many archives are called master.tar.gz."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{url.rpartition('/')[2]}"


def _download(name: str, known: KnownSet, unpacked: Path) -> dict[Entry, Path]:
    """The set from the first archive that can be had and holds it.

    Archives are kept in the scratch folder, since one may hold several sets.
    """
    troubles = []
    for number, archive in enumerate(known.archives):
        path, folder = DOWNLOADS / _name_for(archive.url), unpacked / str(number)
        try:
            download(archive.url, path, archive.sha256)
            images = [image for image in extract(path, folder, archive.members) if image.suffix.lower() in SUFFIXES]
            sources = {image: f"{archive.url}#{image.relative_to(folder).as_posix()}" for image in images}
            verified = "archive" if archive.sha256 else "first use"
            return _verify(name, Found(archive.url, sources, verified, "get the original images elsewhere"))
        except UserError as error:
            troubles.append(str(error))
    raise UserError(f"{_how_to_provide(name)}; no download succeeded: {'; '.join(troubles)}")


def _verify(name: str, found: Found) -> dict[Entry, Path]:
    """The manifest's lines, sorted by file, and where each image lies now; UserError if they are not the set."""
    from tqdm import tqdm

    known, catalogued = SETS.get(name), catalogue().get(name)
    if not found.sources:
        raise UserError(f"{found.where} holds no images of {name} ({' '.join(SUFFIXES)}); {found.remedy}")

    def described(path: Path) -> Description:
        if not known:
            read_image(path)  # a user's photograph may decode and yet be of a kind that the pipeline cannot use
        return describe(path)

    with ThreadPoolExecutor(WORKERS) as pool:
        descriptions = tqdm(
            pool.map(described, found.sources), f"verify {name}", total=len(found.sources), unit="image"
        )
        images = dict(zip(found.sources, descriptions, strict=True))
    files = _match(name, found, images, catalogued) if catalogued else _accept(name, found, images, known)
    verified = "catalogue" if catalogued else found.verified
    return {
        Entry(file, **asdict(images[path]), source=found.sources[path], verified=verified): path
        for file, path in sorted(files.items())
    }


def _match(
    name: str, found: Found, images: dict[Path, Description], catalogued: dict[str, Description]
) -> dict[str, Path]:
    """File → path of every catalogued image, found by its pixels, whatever it is called there."""
    left = dict(images)
    files: dict[str, Path] = {}
    lacking: list[str] = []
    for file, wanted in catalogued.items():
        stem = Path(file).stem
        same = [path for path, image in left.items() if image == wanted]
        if same:
            path = max(same, key=lambda path: path.stem == stem)
            files[stem + path.suffix.lower()] = path
            del left[path]
        else:
            lacking.append(file)
    if lacking:
        first = lacking[0]
        others = [image for path, image in images.items() if path.stem == Path(first).stem]
        trouble = _difference(others[0], catalogued[first]) if others else "is missing"
        raise UserError(
            f"{found.where} lacks {len(lacking)} of the {len(catalogued)} images of {name}: the first, {first}, "
            f"{trouble}; {found.remedy}"
        )
    return files


def _difference(image: Description, wanted: Description) -> str:
    if (image.width, image.height, image.mode) == (wanted.width, wanted.height, wanted.mode):
        return "has other pixels than the original"
    return f"is {image.width}×{image.height} {image.mode}, the original {wanted.width}×{wanted.height} {wanted.mode}"


def _accept(name: str, found: Found, images: dict[Path, Description], known: KnownSet | None) -> dict[str, Path]:
    """File → path of all images of a set without hashes, after the checks that are possible without."""
    stems: dict[str, Path] = {}
    for path in images:
        if path.stem in stems:
            raise UserError(
                f"{found.where} has two images of one name, {stems[path.stem].name} and {path.name}, which tables "
                "could not tell apart; rename or remove one"
            )
        stems[path.stem] = path
    if known and known.numbers:
        lacking = [f"{number:04}" for number in known.numbers if f"{number:04}" not in stems]
        if lacking:
            raise UserError(
                f"{found.where} lacks {len(lacking)} of the {known.images} images of {name}, the first is "
                f"{lacking[0]}.png; {found.remedy}"
            )
    if known and len(images) != known.images:
        raise UserError(f"{found.where} holds {len(images)} images, but {name} has {known.images}; {found.remedy}")
    for path, image in images.items():
        if known and known.side and known.side not in (image.width, image.height):
            raise UserError(
                f"the image {path} is {image.width}×{image.height}, but every image of {name} has a side of "
                f"{known.side} pixels; {found.remedy}"
            )
    return {path.name: path for path in images}


def _refuse_evaluation_images(name: str, entries: list[Entry]) -> None:
    held_out = {
        image.sha256_pixels: f"{set_}/{file}"
        for set_, images in catalogue().items()
        if SETS[set_].evaluation_only
        for file, image in images.items()
    }
    for entry in entries:
        if entry.sha256_pixels in held_out:
            raise UserError(
                f"the image {entry.file} of the training set {name} is {held_out[entry.sha256_pixels]}, which is for "
                "evaluation only; remove it from the training set"
            )
