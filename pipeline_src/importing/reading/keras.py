"""Keras's HDF5 files: weights alone (``save_weights``) or a whole model (``save``), of any version."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline_src.files import is_of_the_system
from pipeline_src.importing.reading.problems import UnreadableError, shown

LARGEST_TENSOR = 2**28  # elements
VARIABLES = {"0": "kernel", "1": "bias"}  # of a layer in files of Keras 3, which numbers them


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is an HDF5 file."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights, as Keras orders axes, by ``<layer>/<variable>:0``, the layers in the model's order.

    Raises:
        UnreadableError: if the file is broken, or its numbers lie in other files.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            weights = file.get("model_weights", file)
            datasets: list[tuple[str, Any]] = []
            weights.visititems(lambda name, item: datasets.append((name, item)) if hasattr(item, "shape") else None)
            order = [_text(name) for name in weights.attrs.get("layer_names", [])]
            named = [(*_layer_and_variable(name), dataset) for name, dataset in datasets if "optimizer" not in name]
            named.sort(key=lambda item: _place(item[0], order))
            return {f"{layer}/{variable}:0": _tensor(dataset) for layer, variable, dataset in named}
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if is_of_the_system(error):
            raise
        raise UnreadableError(f"its HDF5 content is damaged ({shown(error)}); get it again") from None


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _layer_and_variable(name: str) -> tuple[str, str]:
    """Return the layer and the variable of the path of a dataset.

    Keras 2 has ``conv2d_1/conv2d_1/kernel:0``, and Keras 3 ``layers/conv2d_1/vars/0``.
    """
    parts = name.split("/")
    if len(parts) >= 3 and parts[-2] == "vars":
        return parts[-3], VARIABLES.get(parts[-1], parts[-1])
    return parts[0], parts[-1].removesuffix(":0")


def _place(layer: str, order: Sequence[str]) -> tuple[int, str, int]:
    """Return what sorts layers as the model has them: by its own list, else by the number at the end of the name."""
    stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer, re.DOTALL).groups()  # type: ignore[union-attr]
    return order.index(layer) if layer in order else len(order), stem, int(number or 0)


def _tensor(dataset: Any) -> Tensor:
    if dataset.external or dataset.is_virtual:
        raise UnreadableError(f"{shown(dataset.name)} lies in another file; save it into one")
    if dataset.size is None or dataset.size > LARGEST_TENSOR or dataset.dtype.kind not in "fiu":
        raise UnreadableError(f"{shown(dataset.name)} is no tensor of weights; give the file of a net")
    return torch.from_numpy(dataset[()].reshape(dataset.shape).astype(dataset.dtype.newbyteorder("=")))
