"""Files of others with flipped bits: images and checkpoints are read, or refused in one sentence."""

import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from published_nets import as_mindspore
from safetensors.torch import save
from shared import photograph

from pipeline_src.command import printable, sentence
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import read_image
from pipeline_src.importing.reading import read

FLIPS = int(os.environ.get("SR_FAULTS", "20"))  # files of each kind
STATE = {"conv.weight": torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2), "conv.bias": torch.zeros(2)}


def image(kind: str) -> Callable[[], bytes]:
    """Return what makes a small photograph of a format."""

    def made() -> bytes:
        file = io.BytesIO()
        Image.fromarray(photograph("coffee.png")[100:140, 100:156]).save(file, kind)
        return file.getvalue()

    return made


def of_torch(legacy: bool) -> Callable[[], bytes]:
    """Return what makes a checkpoint of torch, of the format before version 1.6 or of the one since."""

    def made() -> bytes:
        file = io.BytesIO()
        torch.save({"state_dict": STATE, "epoch": 3}, file, _use_new_zipfile_serialization=not legacy)
        return file.getvalue()

    return made


def of_keras() -> bytes:
    """Return the weights of a layer as Keras writes them."""
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        layer = weights.create_group("conv2d/conv2d")
        layer["kernel:0"] = np.zeros((3, 3, 3, 28), np.float32)
        layer["bias:0"] = np.zeros(28, np.float32)
    return file.getvalue()


FILES: dict[str, tuple[Callable[[Path], object], Callable[[], bytes]]] = {
    **{kind: (read_image, image(kind)) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")},
    "torch, legacy": (read, of_torch(legacy=True)),
    "torch": (read, of_torch(legacy=False)),
    "safetensors": (read, lambda: save(STATE)),
    "MindSpore": (read, lambda: as_mindspore(STATE)),
    "Keras": (read, of_keras),
}


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits(kind: str, tmp_path: Path) -> None:
    reader, make = FILES[kind]
    content, file = make(), tmp_path / "file"
    file.write_bytes(content)
    reader(file)  # as it is
    for number in range(FLIPS):
        chance, flipped = random.Random(f"{kind} {number}"), bytearray(content)
        for _ in range(chance.choice([1, 1, 4, 32])):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        try:
            reader(file)
        except (UserError, OSError) as error:
            message = printable(str(error) if isinstance(error, UserError) else sentence(error))
            assert str(file) in message, f"{kind} {number}: {message}"
            assert len(message) < 1000
