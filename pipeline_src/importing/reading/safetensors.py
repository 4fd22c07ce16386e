"""Safetensors: a header of JSON, and the numbers."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline_src.files import is_of_the_system
from pipeline_src.importing.reading.problems import UnreadableError, shown


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` has the length of a header, and then JSON."""
    return head[8:9] == b"{" and head[6:8] == b"\0\0"


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights by their names.

    Raises:
        UnreadableError: if the file is broken.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (SafetensorError, OSError) as error:
        if is_of_the_system(error):
            raise
        raise UnreadableError(f"it is damaged ({shown(error)}); get it again") from None
