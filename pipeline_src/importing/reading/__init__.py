"""Checkpoints of every container, each read to a flat dict of names and tensors.

A container is recognised by its content, and not by its suffix.
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from pipeline_src.errors import UserError
from pipeline_src.importing.reading import keras, mindspore, safetensors, torch_legacy, torch_zip
from pipeline_src.importing.reading.problems import UnreadableError

LARGEST_FILE = 2**32  # bytes
MOST_TENSORS = 10_000
TAR = 257, b"ustar"  # where a tar archive says that it is one
READERS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], dict[str, Tensor]]], ...] = (
    (torch_zip.recognises, torch_zip.read),
    (torch_legacy.recognises, torch_legacy.read),
    (keras.recognises, keras.read),
    (safetensors.recognises, safetensors.read),
    (mindspore.recognises, mindspore.read),  # the last, because one byte is all that these files begin with
)
# What programs put before the name of every weight: DataParallel, torch.compile, and training wrappers.
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by their names.

    Args:
        path: a file of torch (either format), Keras (HDF5), MindSpore or safetensors.

    Returns:
        Tensors of any dtype and shape, in the order of the file. A prefix that all names share because the net was
        wrapped (``module.`` of DataParallel) is left out.

    Raises:
        UserError: if the file is missing, of another format, broken, or holds no weights.
    """
    head = _head(path)
    for recognises, reader in READERS:
        if recognises(head):
            try:
                tensors = reader(path)
            except UnreadableError as error:
                raise UserError(f"{path} cannot be read: {error}") from None
            if not 0 < len(tensors) <= MOST_TENSORS:
                count = f"{len(tensors):,}" if tensors else "no"
                raise UserError(f"{path} holds {count} weights; give the checkpoint of a net that can be imported")
            return _unwrapped(tensors)
    raise UserError(
        f"{path} is not a checkpoint of torch, Keras (HDF5), MindSpore or safetensors; give a file of one of these"
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file that may be a checkpoint."""
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {problem}; give the file of a checkpoint")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(f"{path} has more than 4 GiB, which no checkpoint of these nets has; give another file")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}); give a file that can be read") from None
    offset, name = TAR
    if head[offset : offset + len(name)] == name:
        raise UserError(
            f"{path} is a tar archive, torch's format before version 0.1.10, which is not read here; load it with that "
            "torch and save its state_dict again"
        )
    return head


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
