"""``manifest.csv``, the list of the images of a fetched set, and the check for images in two sets."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline_src.errors import UserError
from pipeline_src.paths import MANIFEST as MANIFEST
from pipeline_src.paths import OWN_LR


@dataclass(frozen=True)
class Entry:
    """A row of the manifest: an image of the set as it is stored.

    Attributes:
        file: name in the folder of the set; of an LR image of the user's own ``LR/X<scale>/<name>``.
        width: in pixels.
        height: in pixels.
        mode: of Pillow.
        sha256_pixels: hex hash of the decoded pixels.
        source: its origin.
        verified: ``catalogue`` (its pixels are those of the catalogue), ``archive`` (it came from an archive with the
            published checksum), ``first use`` (no hash is published, so the first one seen is recorded) or ``no`` (the
            user's own image).
    """

    file: str
    width: int
    height: int
    mode: str
    sha256_pixels: str
    source: str
    verified: str

    @property
    def is_lr(self) -> bool:
        """Whether it is an LR image of the user's own."""
        return self.file.startswith(f"{OWN_LR}/")


def write_manifest(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write ``manifest.csv`` into ``folder`` and return its path.

    It is not written atomically, so the folder must be temporary until it is complete.
    """
    path = folder / MANIFEST
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(entry) for entry in entries)
    return path


def read_manifest(folder: Path) -> list[Entry]:
    """Return the rows of ``manifest.csv`` in ``folder``.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [_entry(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage fetch@{folder.name}") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UserError(f"{path} is damaged; delete the folder and run the stage fetch@{folder.name}") from None


def _entry(row: dict[str, str]) -> Entry:
    texts = {name: row[name] for name in ("file", "mode", "sha256_pixels", "source", "verified")}
    return Entry(width=int(row["width"]), height=int(row["height"]), **texts)


def refuse_overlap(training: Iterable[Path], evaluation: Iterable[Path]) -> None:
    """Check that no image of a training set has the same pixels as one of an evaluation set.

    Args:
        training: folders of training sets, as the stage fetch writes them.
        evaluation: folders of evaluation sets.

    Raises:
        UserError: naming the first such image.
    """
    training_files = {
        entry.sha256_pixels: folder / entry.file
        for folder in training
        for entry in read_manifest(folder)
        if not entry.is_lr
    }
    shared = [
        (training_files[entry.sha256_pixels], folder / entry.file)
        for folder in evaluation
        for entry in read_manifest(folder)
        if entry.sha256_pixels in training_files and not entry.is_lr
    ]
    if shared:
        trained, evaluated = shared[0]
        more = f", and {len(shared) - 1} more are shared" if len(shared) > 1 else ""
        raise UserError(
            f"the training image {trained} is also the evaluation image {evaluated}{more}; take it out of one "
            f"of the sets {trained.parent.name} and {evaluated.parent.name}, since a net must not be evaluated on an "
            "image that it was trained on"
        )
