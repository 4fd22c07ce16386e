"""Torch's format before version 1.6: five pickles, and then the elements of each storage.

The pickles are a magic number, a version, the machine, what was saved, and the keys of the storages.
"""

import struct
from pathlib import Path

import torch
from torch import Tensor

from pipeline_src.importing.reading import inert
from pipeline_src.importing.reading.problems import UnreadableError
from pipeline_src.importing.reading.state import storage_tensor, tensors_of

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
COUNT = struct.Struct("<q")  # elements of a storage, before them


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a pickle."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by their names.

    Raises:
        UnreadableError: if the file is broken, or another pickle.
    """
    data = path.read_bytes()
    magic = inert.load(data)
    if magic.value != MAGIC:
        raise UnreadableError("it is a pickle, but not one that torch wrote; give a checkpoint of torch")
    version = inert.load(data, magic.end)
    machine = inert.load(data, version.end)
    if version.value != VERSION or not isinstance(machine.value, dict) or not machine.value.get("little_endian"):
        raise UnreadableError("it was written by another version of torch, or on a big-endian machine; save it again")
    saved = inert.load(data, machine.end)
    keys = inert.load(data, saved.end)
    storages = _storages(memoryview(data)[keys.end :], keys.value, saved.dtypes)

    def storage_of(storage: inert.Storage) -> Tensor:
        return storage_tensor(storage, storages[storage.key])

    return tensors_of(saved.value, storage_of)


def _storages(content: memoryview, keys: object, dtypes: dict[str, str]) -> dict[str, memoryview]:
    """Return the bytes of each storage by its key, from the end of a file, where they follow each other."""
    names = [str(key) for key in keys if isinstance(key, str | int)] if isinstance(keys, list) else []
    if {*names} != dtypes.keys():
        raise UnreadableError(f"its list of storages is not of those that it uses; {inert.BROKEN}")
    storages, position = {}, 0
    for key in names:
        if len(content) < position + COUNT.size:
            raise UnreadableError(f"its storages are cut off; {inert.BROKEN}")
        (count,) = COUNT.unpack_from(content, position)
        begin = position + COUNT.size
        position = begin + max(count, 0) * getattr(torch, dtypes[key]).itemsize
        storages[key] = content[begin:position]
    return storages
