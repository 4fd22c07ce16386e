"""The header of a weights file, read without torch, which takes a second to import."""

import json
from pathlib import Path
from typing import Any

from pipeline_src.config import SCALES
from pipeline_src.deployment.cards import LICENCE
from pipeline_src.errors import UserError
from pipeline_src.files import is_of_the_system
from pipeline_src.library.entries import BICUBIC

NET = {"model": str, "scales": list, "net": dict}  # the fields that every net has


def read_header(path: Path) -> dict[str, Any]:
    """Return the metadata of the weights file of a net, as ``weights.load_metadata`` does.

    Raises:
        UserError: if the file is missing, not whole, or does not say which net it holds.
    """
    from safetensors import SafetensorError, safe_open

    try:
        path.open("rb").close()  # its errors are the system's, which safetensors tells as others
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("metadata", "{}"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; correct its name") from None
    except (SafetensorError, json.JSONDecodeError, RecursionError, OSError) as error:
        if is_of_the_system(error):
            raise
        raise UserError(f"{path} is corrupt ({error}); replace it by a complete copy") from None
    is_net = isinstance(header, dict) and all(isinstance(header.get(name), kind) for name, kind in NET.items())
    if not is_net or not all(scale in SCALES for scale in header["scales"]):
        raise UserError(f"{path} does not say which net it holds; give a file that the stage train wrote")
    return dict(header)


def is_supernet(header: dict[str, Any]) -> bool:
    """Return whether weights are those of a once-for-all supernet, of which the stage search has cut no net."""
    from pipeline_src.config.models import model_arguments

    return "subnet" in model_arguments(header["model"]) and "subnet" not in header["net"]


def lr_of(header: dict[str, Any]) -> str:
    """Return the downscaler whose LR images weights were trained on."""
    return str((header.get("downscaler") or {}).get("model", BICUBIC))


def provenance(header: dict[str, Any]) -> str:
    """Return where weights come from, in a few words, from their header."""
    recipe = header.get("recipe") or {}
    start = (recipe.get("start") or {}).get("file", "")
    origin = str(header.get("origin") or (f"{start}, then trained here" if start else "trained from nothing"))
    return f"{origin}, {recipe['steps']:,} steps" if recipe.get("steps") else origin


def licence(header: dict[str, Any]) -> str:
    """Return the licence of weights from their header; that of the project where it names none."""
    return str(header.get("licence") or LICENCE)
