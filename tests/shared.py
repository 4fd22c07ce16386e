"""Helpers for tests in several folders."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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


def link_starts(folder: Path) -> None:
    """Link the weights that systems of our params.yaml start from into ``folder``, at the paths that it names."""
    for name in set(re.findall(r"file: ([^\s,}]+\.safetensors)", (ROOT / "params.yaml").read_text())):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(ROOT / name)


def photograph(name: str) -> np.ndarray:
    """Return a photograph of the scikit-image package, uint8 H×W×3, without importing the package."""
    spec = importlib.util.find_spec("skimage")
    assert spec
    assert spec.submodule_search_locations
    return np.asarray(Image.open(Path(spec.submodule_search_locations[0]) / "data" / name).convert("RGB"))
