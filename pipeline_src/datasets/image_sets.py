"""Gets the images of a set from the user's own folder, from the mirror, or from its authors' archive, in this order.

The mirror is the folder named by ``SR_DATA_MIRROR``, with the images of each set in ``<set>/HR``. The sample sets are
part of the scikit-image package, and the set ``synthetic`` is drawn. Archives come from their own addresses, or from
the server that ``SR_ARCHIVE_MIRROR`` names. All images are verified, see :mod:`pipeline_src.datasets.verification`.
"""

import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from pipeline_src.config import ImageSet
from pipeline_src.datasets import lr_folders, synthetic
from pipeline_src.datasets.archives import extract
from pipeline_src.datasets.catalogue import read_catalogue
from pipeline_src.datasets.download import download
from pipeline_src.datasets.known_sets import SETS, KnownSet
from pipeline_src.datasets.manifests import Entry, write_manifest
from pipeline_src.datasets.verification import WORKERS, Candidates, refuse_evaluation_images, verify
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import SUFFIXES, list_images, write_png
from pipeline_src.paths import SCRATCH

MIRROR = "SR_DATA_MIRROR"
ARCHIVE_MIRROR = "SR_ARCHIVE_MIRROR"
DOWNLOADS = SCRATCH / "downloads"


def obtain(name: str, spec: ImageSet, folder: Path) -> list[Entry]:
    """Get an image set, verify its images, copy them unchanged into ``folder``, and write the manifest.

    The images of a catalogued set get the names of the catalogue. LR images of the user's own, or degraded ones, go to
    ``LR/X<scale>``.

    Args:
        name: of the set in params.yaml.
        spec: its entry in params.yaml.
        folder: an empty folder.

    Returns:
        The entries of the manifest.

    Raises:
        UserError: if the set is not available, lacks images or has wrong ones, or if it is for evaluation only and
            ``spec`` gives it the role training.
    """
    refuse_misuse(name, spec)
    with _available(source_of(name, spec), spec.folder) as images:
        if spec.lr_folder:
            images |= lr_folders.verified(images, spec.lr_folder)
        entries = list(images)
        if spec.role == "training":
            refuse_evaluation_images(name, entries)
        for entry, path in images.items():
            (folder / entry.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / entry.file).write_bytes(path.read_bytes())
    if spec.degraded:
        entries += lr_folders.degraded(folder, entries, spec.degraded)
    write_manifest(folder, entries)
    return entries


def refuse_misuse(name: str, spec: ImageSet) -> None:
    """Check the name of a set, and that a set that is for evaluation only is not trained on.

    Raises:
        UserError: if either is wrong.
    """
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise UserError(f"the image set {name!r} of params.yaml needs a name of letters, digits, _ and -")
    source = source_of(name, spec)
    if spec.role == "training" and source in SETS and SETS[source].evaluation_only:
        raise UserError(f"the image set {source} is for evaluation only; give it the role evaluation in params.yaml")


def source_of(name: str, spec: ImageSet) -> str:
    """Return the name of a set in the catalogue, whatever its name in params.yaml."""
    return spec.images_of or name


def on_this_machine(name: str, own_folder: str | None) -> Candidates | None:
    """Return the image files of a set, not yet verified.

    Args:
        name: of the set in params.yaml.
        own_folder: ``folder`` of its entry there.

    Returns:
        The files, which may be none; or None if the set has to be downloaded.

    Raises:
        UserError: if the set is neither on this machine nor has an address.
    """
    known = SETS.get(name)
    unhashed = "first use" if known else "no"  # verification of images that the catalogue lacks
    mirror = _mirror()
    if own_folder:
        return _in_folder(Path(own_folder).expanduser(), own_folder, unhashed)
    if known and known.in_scikit_image:
        return _in_scikit_image(name)
    if mirror and (mirror / name).is_dir():
        return _in_folder(mirror / name, f"{MIRROR}/{name}", unhashed)
    if known and known.archives:
        return None
    raise UserError(how_to_provide(name))


def address(url: str) -> str:
    """Return where an archive is downloaded from: its own address, or ``<SR_ARCHIVE_MIRROR>/<host>/<path>``.

    Raises:
        UserError: if ``SR_ARCHIVE_MIRROR`` is not an address.
    """
    mirror = os.environ.get(ARCHIVE_MIRROR)
    if not mirror:
        return url
    if not mirror.startswith(("http://", "https://")):
        raise UserError(f"{ARCHIVE_MIRROR} is {mirror}, which does not begin with http:// or https://; correct it")
    return f"{mirror.rstrip('/')}/{url.partition('://')[2]}"


def download_path(url: str) -> Path:
    """Return where the download from an address is kept, under a name of its own: many are called master.tar.gz."""
    return DOWNLOADS / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{url.rpartition('/')[2]}"


@contextmanager
def _available(name: str, own_folder: str | None) -> Iterator[dict[Entry, Path]]:
    """Yield the verified images of a set from the first source that has it; unpacked archives are deleted later."""
    if not own_folder and is_drawn(name):
        with tempfile.TemporaryDirectory() as folder:
            yield verify(name, _drawn(Path(folder)))
        return
    if candidates := on_this_machine(name, own_folder):
        yield verify(name, candidates)
        return
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DOWNLOADS, prefix=f"{name}.") as unpacked:
        yield _from_archives(name, SETS[name], Path(unpacked))


def is_drawn(name: str) -> bool:
    """Whether the images of a set are drawn, and neither looked for nor downloaded."""
    return name in SETS and SETS[name].drawn


def _drawn(folder: Path) -> Candidates:
    """Draw the images of the set ``synthetic`` into a folder."""
    files = [folder / f"{index:02}.png" for index in range(synthetic.COUNT)]
    with ThreadPoolExecutor(WORKERS) as painters:
        for file, image in zip(files, painters.map(synthetic.draw, range(synthetic.COUNT)), strict=True):
            write_png(file, image)
    source = f"{synthetic.__name__}, Pillow {metadata.version('pillow')}"
    return Candidates(str(folder), dict.fromkeys(files, source), "drawn", "report this")


def _mirror() -> Path | None:
    value = os.environ.get(MIRROR)
    if not value:
        return None
    mirror = Path(value).expanduser()
    if not mirror.is_dir():
        raise UserError(f"{MIRROR} names {value}, which is not a folder; correct it or unset it")
    return mirror


def how_to_provide(name: str) -> str:
    """Return one sentence on how the user can provide a set that cannot be had otherwise."""
    known = SETS.get(name)
    if not known:
        return (
            f"the image set {name} of params.yaml is not in the catalogue ({', '.join(SETS)}); give it a "
            f"`folder:` in params.yaml, or set {MIRROR} to a folder that holds {name}/HR"
        )
    return (
        f"the image set {name} ({known.cite}) is not available"
        + ("" if known.archives else " and has no permanent address to download it from")
        + f"; put its {known.images} HR images into {name}/HR of a folder and set {MIRROR} to that folder, or name the "
        f"folder with the images in params.yaml (sets: {name}: folder:), or remove the set there"
    )


def _in_folder(folder: Path, source: str, verified: str) -> Candidates:
    """Return the images of a folder or, if it has none, of its subfolder ``HR``, as in a mirror."""
    images = list_images(folder)
    if not images and (folder / "HR").is_dir():
        folder, source = folder / "HR", f"{source}/HR"
        images = list_images(folder)
    sources = {path: f"{source}/{path.name}" for path in images}
    return Candidates(str(folder), sources, verified, "put the original images there, in any lossless format")


def _in_scikit_image(name: str) -> Candidates:
    spec = importlib.util.find_spec("skimage")
    if not spec or not spec.submodule_search_locations:
        raise UserError(f"the image set {name} is part of scikit-image, which is not installed; install it with pip")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    package = f"scikit-image {metadata.version('scikit-image')}"
    images = [folder / file for file in read_catalogue()[name] if (folder / file).is_file()]
    sources = {path: f"{package}/data/{path.name}" for path in images}
    return Candidates(str(folder), sources, "no", "install the version of scikit-image that requirements.lock names")


def _from_archives(name: str, known: KnownSet, unpacked: Path) -> dict[Entry, Path]:
    """Return the verified images from the first archive that can be downloaded and holds the set.

    Archives are kept in the scratch folder, because one may hold several sets.
    """
    reasons = []
    for number, archive in enumerate(known.archives):
        url, folder = address(archive.url), unpacked / str(number)
        path = download_path(url)
        try:
            download(url, path, archive.sha256)
            images = [image for image in extract(path, folder, archive.members) if image.suffix.lower() in SUFFIXES]
            sources = {image: f"{url}#{image.relative_to(folder).as_posix()}" for image in images}
            verified = "archive" if archive.sha256 else "first use"
            return verify(name, Candidates(url, sources, verified, "get the original images elsewhere"))
        except UserError as error:
            reasons.append(str(error))
    raise UserError(f"{how_to_provide(name)}; no download succeeded: {'; '.join(reasons)}")
