"""Measurements of files that are kept until their stage has ended, so that one that was stopped goes on."""

import hashlib
import json
import shutil
from dataclasses import asdict
from typing import Any

from pipeline_src import paths
from pipeline_src.devices.job import Measured
from pipeline_src.files import read_json, write_json


class Kept:
    """What a stage has measured so far on one device, in ``.cache``.

    Args:
        device: its name.
        purpose: of the measurements, such as ``measure``.
    """

    def __init__(self, device: str, purpose: str) -> None:
        self._folder = paths.SCRATCH / "devices" / device / purpose

    def get(self, key: str) -> Measured | None:
        """Return what was measured under a key of :func:`key_of`; None if nothing was."""
        file = self._folder / f"{key}.json"
        return read_json(file, Measured, f"delete {file}") if file.exists() else None

    def add(self, key: str, measured: Measured) -> None:
        """Keep a measurement."""
        write_json(self._folder / f"{key}.json", asdict(measured))

    def count(self) -> int:
        """Return how many measurements are kept."""
        return len([*self._folder.glob("*.json")])

    def clear(self) -> None:
        """Forget all, when the results are written."""
        shutil.rmtree(self._folder, ignore_errors=True)


def key_of(*conditions: Any) -> str:
    """Return a name for a measurement: the hash of all that it depends on, of what JSON can hold."""
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()
