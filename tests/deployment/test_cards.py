"""Cards: reading them, their example programs, and files that do not match their card."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported import assert_close, lr_images
from PIL import Image
from shared import photograph

from pipeline_src.deployment import cards, runtimes
from pipeline_src.errors import UserError


def test_read_folder_returns_the_card_of_each_file(folder: Path) -> None:
    file_cards = cards.read_folder(folder)
    assert len(file_cards) == 9
    card = file_cards[folder / "ptq_x3.xml"]
    assert set(card.files) == {"ptq_x3.xml", "ptq_x3.bin"}
    assert card.versions["openvino"]
    with pytest.raises(UserError, match="holds no exported file"):
        cards.read_folder(folder / "nothing")


def test_the_example_of_a_card_upscales_a_photograph(folder_copy: Path) -> None:
    file_cards = cards.read_folder(folder_copy)
    assert len(file_cards) == 9
    for file, card in file_cards.items():
        lr = photograph("coffee.png")[:360, :480].repeat(2, axis=1)[:, :640] if card.size else next(lr_images())
        Image.fromarray(lr).save(folder_copy / "photo.png")
        home = os.environ | {"HOME": str(folder_copy / "home"), "XDG_CACHE_HOME": str(folder_copy / "home")}
        home.pop("ORT_DISABLE_TELEMETRY", None)  # set by this process
        process = subprocess.run(
            [sys.executable, "-c", card.example], cwd=folder_copy, env=home, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        assert not list(folder_copy.rglob("*onnxruntime*")), "ONNX Runtime's telemetry leaves a database"
        assert_close(np.asarray(Image.open(folder_copy / "large.png")), runtimes.load(file, 1)(lr), 1, 55)
        (folder_copy / "large.png").unlink()


@pytest.mark.parametrize("name", ["ptq_x3.tflite", "ptq_x3.onnx", "ptq_x3.xml", "ptq_x3.bin", "weights.safetensors"])
def test_the_error_for_a_truncated_file_names_it(folder_copy: Path, name: str) -> None:
    damaged = folder_copy / name
    damaged.write_bytes(damaged.read_bytes()[:-100])
    opened = damaged.with_suffix(".xml") if damaged.suffix == ".bin" else damaged
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        runtimes.load(opened, 1)
