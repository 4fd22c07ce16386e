"""The list of a fetched set's images, ``manifest.csv``: what stands in it, and what it is good for."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline_src.errors import UserError

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Entry:
    """A line: a file of the set, what it is as it is stored, where it came from, and how far it was verified.

    ``verified`` is ``catalogue`` (the pixels are those of the catalogue), ``archive`` (it came from an archive with the
    known checksum), ``first use`` (nothing to compare with: recorded as first seen) or ``no`` (the user's own).
    """

    file: str
    width: int
    height: int
    mode: str
    sha256_pixels: str
    source: str
    verified: str


def write_manifest(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write ``manifest.csv`` into ``folder``, which the caller keeps aside until it is whole; returns its path."""
    path = folder / MANIFEST
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(entry) for entry in entries)
    return path


def read_manifest(folder: Path) -> list[Entry]:
    """The lines of ``manifest.csv`` in ``folder``; UserError if there is none or it is damaged."""
    path = folder / MANIFEST
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [_entry(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage fetch@{folder.name}") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UserError(f"{path} is damaged; delete the folder and run the stage fetch@{folder.name}") from None


def _entry(row: dict[str, str]) -> Entry:
    words = {name: row[name] for name in ("file", "mode", "sha256_pixels", "source", "verified")}
    return Entry(width=int(row["width"]), height=int(row["height"]), **words)


def refuse_overlap(training: Iterable[Path], evaluation: Iterable[Path]) -> None:
    """UserError if an image of a training set has the same pixels as one of an evaluation set.

    Both are folders that ``fetch`` wrote (``results/fetch/<role>/<set>``).
    """
    trained = {entry.sha256_pixels: folder / entry.file for folder in training for entry in read_manifest(folder)}
    shared = [
        (trained[entry.sha256_pixels], folder / entry.file)
        for folder in evaluation
        for entry in read_manifest(folder)
        if entry.sha256_pixels in trained
    ]
    if shared:
        ours, theirs = shared[0]
        more = f", and {len(shared) - 1} more are shared" if len(shared) > 1 else ""
        raise UserError(
            f"the training image {ours} is also the evaluation image {theirs}{more}; take it out of one of the sets "
            f"{ours.parent.name} and {theirs.parent.name}, since a net must not be judged on what it was trained on"
        )
