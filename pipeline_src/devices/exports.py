"""The exported files of a run as they lie on a device: which take turns, and what each needs beside it."""

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.benchmarking.costs import timed_files
from pipeline_src.benchmarking.keys import FileKey
from pipeline_src.deployment import cards, reference
from pipeline_src.deployment.cards import Card
from pipeline_src.devices.job import Item, Measured
from pipeline_src.devices.measuring import Request
from pipeline_src.devices.rows import COLUMNS
from pipeline_src.imaging.images import read_image
from pipeline_src.tables import Row


@dataclass(frozen=True)
class Exported:
    """A file that is timed on a device.

    Attributes:
        file: the file that is timed, of one size if the format has such a file.
        card: its card.
        whole: the file of any size of the same net and format.
        height: of the LR image that it is timed on, in pixels.
        width: of that image.
    """

    file: Path
    card: Card
    whole: Path
    height: int
    width: int

    @property
    def name(self) -> str:
        """The name by which answers of the device call it."""
        return str(FileKey.of(self.card))


def groups(exported: dict[Path, Card]) -> Iterator[list[Exported]]:
    """Yield the files that take turns: those of one net and scale, of all variants and formats.

    Fewer than on this machine, where all nets of a system take turns, because a board has less memory.

    Args:
        exported: files with their cards; those that cannot be run, and those of downscalers, are left out.
    """
    files = {file: card for file, card in exported.items() if not card.fails and not card.downscales}
    for net in dict.fromkeys(card.system for card in files.values()):
        of_net = {file: card for file, card in files.items() if card.system == net}
        whole = {FileKey.of(card): file for file, card in of_net.items() if not card.size}
        for timed, (height, width) in timed_files(of_net):
            yield [Exported(file, card, whole[FileKey.of(card)], height, width) for file, card in timed.items()]


def request(exported: Exported, folder: str) -> Request:
    """Return the request to measure a file, with its reference images.

    Args:
        exported: the file.
        folder: where it lies on the device.
    """
    files: dict[str, Path | bytes] = {}
    for file in (exported.file, exported.whole):
        for name in (*cards.read(file).files, cards.path_of(file).name):
            files[f"{folder}/{name}"] = file.with_name(name)
    images = [f"{folder}/{Path(name).stem}.npy" for name in (reference.LR_FILE, exported.card.reference)]
    for image, name in zip(images, (reference.LR_FILE, exported.card.reference), strict=True):
        files[image] = as_npy(read_image(exported.whole.with_name(name)))
    timed, whole = (f"{folder}/{file.name}" for file in (exported.file, exported.whole))
    return Request(Item(exported.name, timed, exported.height, exported.width, whole, *images), files)


def row(exported: Exported, measured: Measured, threads: int, delegate: str = "") -> Row:
    """Return the row of a file.

    Args:
        exported: the file.
        measured: what the device has measured.
        threads: of the runtime there.
        delegate: what ran the file in place of the CPU; the column ``runtime`` then names both, as ``tflite_gpu``.
    """
    key = FileKey.of(exported.card)
    about: dict[str, Any] = {
        "format": key.runtime,
        "runtime": f"{key.runtime}_{delegate}" if delegate else key.runtime,
        "file": exported.file.name,
        "sha256": exported.card.files[exported.file.name],
        "lr_height": exported.height,
        "lr_width": exported.width,
        "threads": threads,
        "timed_by": measured.timed_by,
        "peak_memory_mb": measured.peak_memory_mb,
        "celsius_before": measured.before.celsius,
        "celsius_after": measured.after.celsius,
        "mhz_before": measured.before.mhz,
        "mhz_after": measured.after.mhz,
        "compared": measured.agreement is not None,
        "disagrees": "",
        "fails": measured.fails,
    }
    total = asdict(measured.total) if measured.total else {}
    infer = {f"infer_{name}": value for name, value in (asdict(measured.infer) if measured.infer else {}).items()}
    return dict.fromkeys(COLUMNS) | key.columns() | about | total | infer | (measured.agreement or {})


def as_npy(array: np.ndarray) -> bytes:
    """Return an array as the content of a ``.npy`` file."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()
