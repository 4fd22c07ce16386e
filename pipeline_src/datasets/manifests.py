"""``manifest.csv``, the list of the images of a fetched set, and the check for images in two sets."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_type_hints

from pipeline_src.errors import UserError
from pipeline_src.paths import MANIFEST as MANIFEST
from pipeline_src.paths import OWN_LR
from pipeline_src.tables import Kind, read_rows, write_table


@dataclass(frozen=True)
class Entry:
    """A row of the manifest: an image of the set as it is stored.

    Attributes:
        file: name in the folder of the set; of an LR image of its own ``LR/X<scale>/<name>``.
        width: in pixels.
        height: in pixels.
        mode: of Pillow.
        sha256_pixels: hex hash of the decoded pixels.
        source: its origin.
        verified: ``catalogue`` (its pixels are those of the catalogue), ``archive`` (it came from an archive with the
            published checksum), ``drawn`` (by this package), ``first use`` (no hash is published, so the first one seen
            is recorded) or ``no`` (the user's own image).
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
        """Whether it is an LR image, of the user's own or degraded."""
        return self.file.startswith(f"{OWN_LR}/")


COLUMNS: dict[str, Kind] = get_type_hints(Entry)


def write_manifest(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write ``manifest.csv`` into ``folder`` and return its path."""
    path = folder / MANIFEST
    write_table(path, [asdict(entry) for entry in entries], [*COLUMNS])
    return path


def read_manifest(folder: Path) -> list[Entry]:
    """Return the rows of ``manifest.csv`` in ``folder``.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    path = folder / MANIFEST
    remedy = f"run the stage fetch@{folder.name} (dvc repro -f fetch@{folder.name})"
    return [Entry(**row) for row in read_rows(path, COLUMNS, remedy, errors="surrogateescape")]


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
