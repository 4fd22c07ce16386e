"""Torch's format since version 1.6: a zip archive of one pickle, and a record for each storage."""

import struct
import zipfile
from pathlib import Path, PurePosixPath

from torch import Tensor

from pipeline_src.files import is_of_the_system
from pipeline_src.importing.reading import inert
from pipeline_src.importing.reading.problems import UnreadableError, shown
from pipeline_src.importing.reading.state import storage_tensor, tensors_of


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a zip archive."""
    return head.startswith(b"PK\x03\x04")


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by their names.

    Raises:
        UnreadableError: if the archive is broken, or not one of torch.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, struct.error) as error:
        if is_of_the_system(error):
            raise
        raise UnreadableError(f"its zip archive is damaged ({shown(error)}); get it again") from None


def _read(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    records = {name: info for name, info in archive.NameToInfo.items() if info.compress_type == zipfile.ZIP_STORED}
    pickles = [name for name in records if PurePosixPath(name).name == "data.pkl"]
    if len(pickles) != 1:
        raise UnreadableError(
            "it is a zip archive, but not one that torch wrote; give a checkpoint, not an archive of it"
        )
    root = PurePosixPath(pickles[0]).parent
    if any(PurePosixPath(name).is_relative_to(root / "code") for name in archive.NameToInfo):
        raise UnreadableError("it is a TorchScript program; save the state_dict of the net instead")
    order = records.get(f"{root / 'byteorder'}")
    if order and archive.read(order) != b"little":
        raise UnreadableError("it was written on a big-endian machine; save it on another")
    if records[pickles[0]].file_size > inert.LARGEST_PICKLE:
        raise UnreadableError("its pickle is larger than that of any checkpoint; give another file")

    def storage_of(storage: inert.Storage) -> Tensor:
        name = f"{root / 'data' / storage.key}"
        if name not in records:
            raise UnreadableError(f"a storage is not in its zip archive; {inert.BROKEN}")
        return storage_tensor(storage, memoryview(archive.read(records[name])))

    return tensors_of(inert.load(archive.read(pickles[0])).value, storage_of)
