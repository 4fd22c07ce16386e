"""Helpers for tests in several folders."""

import importlib.util
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline_src.datasets.manifests import Entry, write_manifest
from pipeline_src.imaging.images import describe

ROOT = Path(__file__).parents[1]
TINY = {"steps": 12, "batch": 2, "patch": 16, "warmup": 0}  # recipe of a training that takes seconds


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return ``old`` with the values of ``new``, merged recursively."""
    return old | {
        k: merged(old[k], v) if isinstance(v, dict) and isinstance(old.get(k), dict) else v for k, v in new.items()
    }


def stage_command(name: str, *arguments: str) -> list[str]:
    """Return the command line of a stage."""
    return [sys.executable, "-m", f"pipeline_src.stages.{name}", *arguments]


def stage_environment() -> dict[str, str]:
    """Return an environment in which a stage runs from any folder, without tracking."""
    return os.environ | {"PYTHONPATH": str(ROOT), "SR_TRACKING": "off"}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def link_starts(folder: Path) -> None:
    """Link the weights that systems of params.yaml and of the preset large start from into ``folder``, as they say."""
    params = (ROOT / "params.yaml").read_text() + (ROOT / "workflow/presets/large.yaml").read_text()
    for name in set(re.findall(r"file: ([^\s,}]+\.safetensors)", params)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(ROOT / name)


def fetched(folder: Path, name: str, **images: Image.Image) -> Path:
    """Write an evaluation set into a workspace as the stage fetch does, with its manifest.

    Args:
        folder: the workspace.
        name: of the set.
        images: by the name of their file, without its suffix.

    Returns:
        The folder of the set.
    """
    written = folder / "results/fetch/evaluation" / name
    written.mkdir(parents=True)
    entries = []
    for stem, image in images.items():
        image.save(written / f"{stem}.png")
        described = describe(written / f"{stem}.png")
        entries.append(Entry(f"{stem}.png", **asdict(described), source="test", verified="no"))
    write_manifest(written, entries)
    return written


def photograph(name: str) -> np.ndarray:
    """Return a photograph of the scikit-image package, uint8 H×W×3, without importing the package."""
    spec = importlib.util.find_spec("skimage")
    assert spec
    assert spec.submodule_search_locations
    return np.asarray(Image.open(Path(spec.submodule_search_locations[0]) / "data" / name).convert("RGB"))
