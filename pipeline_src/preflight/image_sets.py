"""Finds out where each image set will come from, before anything runs."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline_src import paths
from pipeline_src.config import SCALES, ImageSet
from pipeline_src.datasets import lr_folders, own_lr, synthetic
from pipeline_src.datasets.catalogue import read_catalogue
from pipeline_src.datasets.download import reason_of, total_size
from pipeline_src.datasets.image_sets import (
    address,
    download_path,
    how_to_provide,
    is_drawn,
    on_this_machine,
    refuse_misuse,
    source_of,
)
from pipeline_src.datasets.known_sets import SETS
from pipeline_src.datasets.manifests import MANIFEST, read_manifest
from pipeline_src.datasets.verification import refuse_none
from pipeline_src.errors import UserError

TIMEOUT = 10  # seconds to wait for an answer
ATTEMPTS = 2
ASPECT = 0.75  # short side over long side of the images of a set that is known by its long side alone: 3:2 to 1:1


@dataclass(frozen=True)
class Download:
    """An archive that has to be downloaded.

    Attributes:
        url: its address.
        size: in bytes, less what has been received already; None if the server does not say.
    """

    url: str
    size: int | None


@dataclass(frozen=True)
class SetNeeds:
    """What a set of params.yaml still takes.

    Attributes:
        name: of the set.
        role: training or evaluation.
        pixels: of all its images together; 0 if unknown.
        size: bytes of the images that are copied or unpacked into results/; 0 if they are there, or unknown.
        download: the archive it comes from, if it has to be downloaded.
        lr_scales: scales of its LR images of its own; none if bicubic makes them.
    """

    name: str
    role: str
    pixels: int
    size: int = 0
    download: Download | None = None
    lr_scales: Sequence[int] = ()


def needs_of(sets: dict[str, ImageSet]) -> list[SetNeeds]:
    """Return what the sets of params.yaml still take, in their order.

    A set that is in results/ already needs nothing, and no network. The others are looked for where the stage fetch
    looks, and of those that have to be downloaded each address is asked for the size of its archive.

    Raises:
        UserError: for the first set that cannot be had, with the names of any others.
    """
    needs: dict[str, SetNeeds] = {}
    problems: dict[str, UserError] = {}
    to_download: list[str] = []
    for name, spec in sets.items():
        try:
            refuse_misuse(name, spec)
            if local := _fetched(name, spec) or _local(name, spec):
                needs[name] = local
            else:
                to_download.append(name)
        except UserError as error:
            problems[name] = error
    sources = {source_of(name, sets[name]) for name in to_download}
    answers = _ask({address(archive.url) for source in sources for archive in SETS[source].archives})
    for name in to_download:
        try:
            needs[name] = _from_archive(name, sets[name], answers)
        except UserError as error:
            problems[name] = error
    if problems:
        first, *others = (name for name in sets if name in problems)
        also = f"; {', '.join(others)} cannot be had either" if others else ""
        raise UserError(f"{problems[first]}{also}")
    return [needs[name] for name in sets]


def _fetched(name: str, spec: ImageSet) -> SetNeeds | None:
    """Return the needs of a set that the stage fetch has written, or None if it is not there as a whole."""
    folder = paths.images_folder(spec.role, name)
    own = [Path(place).expanduser() for place in (spec.folder, spec.lr_folder) if place]
    if not (folder / MANIFEST).is_file() or not all(place.is_dir() for place in own):
        return None
    try:
        entries = read_manifest(folder)
    except UserError:
        return None  # it will be fetched again
    if not all((folder / entry.file).is_file() for entry in entries):
        return None
    hr = [entry for entry in entries if not entry.is_lr]
    lr_scales = own_lr.scales_of(folder) if spec.has_own_lr else []
    return SetNeeds(name, spec.role, sum(entry.width * entry.height for entry in hr), lr_scales=lr_scales)


def _local(name: str, spec: ImageSet) -> SetNeeds | None:
    """Return the needs of a set in a folder or in scikit-image, or None if it has to be downloaded."""
    source = source_of(name, spec)
    if not spec.folder and is_drawn(source):
        pixels = synthetic.COUNT * synthetic.SIDE**2
        return SetNeeds(
            name, spec.role, pixels, pixels + _degraded_bytes(spec, pixels), lr_scales=_degraded_scales(spec)
        )
    candidates = on_this_machine(source, spec.folder)
    if candidates is None:
        return None
    refuse_none(name, candidates)
    files = [*candidates.sources]
    pixels = _catalogued_pixels(source) or sum(_pixels(file) for file in files)
    lr = lr_folders.find(files, Path(spec.lr_folder).expanduser()) if spec.lr_folder else {}
    size = sum(file.stat().st_size for file in [*files, *(file for pairs in lr.values() for file in pairs.values())])
    size += _degraded_bytes(spec, pixels)
    return SetNeeds(name, spec.role, pixels, size, lr_scales=_degraded_scales(spec) or list(lr))


def _degraded_scales(spec: ImageSet) -> tuple[int, ...]:
    return SCALES if spec.degraded else ()


def _degraded_bytes(spec: ImageSet, pixels: int) -> int:
    """Return the size of degraded LR images, as PNG about two bytes a pixel because of their noise."""
    return sum(2 * pixels // scale**2 for scale in _degraded_scales(spec))


def _catalogued_pixels(name: str) -> int:
    """Return the pixels of all images of a published set; 0 if they are not known."""
    if catalogued := read_catalogue().get(name):
        return sum(image.width * image.height for image in catalogued.values())
    known = SETS.get(name)
    return int(known.images * known.side**2 * ASPECT) if known and known.side else 0


def _pixels(file: Path) -> int:
    """Return the pixels of an image by its header; 0 if it has none, which the stage fetch will say."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.width * image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0


def _from_archive(name: str, spec: ImageSet, answers: dict[str, "Download | str"]) -> SetNeeds:
    """Return the needs of a set from the first of its archives whose address has answered."""
    reasons: list[str] = []
    source = source_of(name, spec)
    for archive in SETS[source].archives:
        answer = answers[address(archive.url)]
        if isinstance(answer, Download):
            # photographs in an archive are compressed already, so the archive is about as large as what is in it
            pixels = _catalogued_pixels(source)
            size = (answer.size or 0) + _degraded_bytes(spec, pixels)
            return SetNeeds(name, spec.role, pixels, size, answer, _degraded_scales(spec))
        reasons.append(answer)
    raise UserError(f"{how_to_provide(source)}; no address answers: {'; '.join(reasons)}")


def _ask(urls: Iterable[str]) -> dict[str, "Download | str"]:
    """Return for each address the download, or why there is none."""
    with ThreadPoolExecutor(8) as pool:
        addresses = sorted(urls)
        return dict(zip(addresses, pool.map(_answer, addresses), strict=True))


def _answer(url: str) -> "Download | str":
    import requests

    kept = download_path(url)
    if kept.is_file():
        return Download(url, 0)
    part = kept.with_name(kept.name + ".part")
    received = part.stat().st_size if part.is_file() else 0
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            size = _size_at(url)
            return Download(url, None if size is None else max(0, size - received))
        except requests.RequestException as error:
            reason = f"{url} cannot be reached ({reason_of(error)})"
    return reason


def _size_at(url: str) -> int | None:
    """Return the size of a file on a server in bytes without downloading it; None if the server does not say."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    response = requests.head(url, headers=headers, allow_redirects=True, timeout=TIMEOUT)
    if response.ok:
        return total_size(response)
    headers["Range"] = "bytes=0-0"  # some servers refuse HEAD
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        return total_size(response)
