"""Cards: reading them, their example programs, and files that do not match their card."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("unreadable", [".", "smaller"])
def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(unreadable: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)  # pytest's own folders may not be read by others
        exported = Path(temporary) / "export"
        (exported / "smaller").mkdir(parents=True)
        (exported / unreadable).chmod(0)
        user = os.geteuid()
        if user == 0:  # who may read everything
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match=str(exported / unreadable)):
                cards.read_folder(exported)
        finally:
            os.seteuid(user)
            (exported / unreadable).chmod(0o700)


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


def rewritten(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields | changes


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: {key: value for key, value in fields.items() if key != name}


WRONG_CARDS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a list": (lambda fields: [fields], "Input should be an object"),
    "a field less": (without("lr"), "damaged: lr: Field required"),
    "a field more": (rewritten(quality=9), "damaged: quality: Unexpected keyword argument"),
    "a text for the scale": (rewritten(scale="3"), "damaged: scale: Input should be a valid integer"),
    "no scale": (rewritten(scale=0), "damaged: scale is 0, not a factor of 1 or more"),
    "a part of a scale": (rewritten(scale=1.5), "damaged: scale: Input should be a valid integer"),
    "one side": (rewritten(size=[24]), "damaged: size.1: Field required"),
    "a side of 0": (rewritten(size=[0, 40]), r"damaged: size is \[0, 40\], not a height and a width of 1 or more"),
    "a text for a side": (rewritten(size=["24", 40]), r"damaged: size\.0: Input should be a valid integer"),
    "an input that is a text": (rewritten(input="image"), "damaged: input: Input should be an object"),
    "an unknown dtype": (rewritten(input={"dtype": "int4", "layout": "NHWC"}), r"input\.dtype: Input should be 'float"),
    "an unknown layout": (rewritten(output={"dtype": "int8", "layout": "HWC"}), r"output\.layout: Input should be 'NH"),
    "a number of a layer": (rewritten(float_layers=[3]), r"float_layers\.0: Input should be a valid string"),
    "another folder": (rewritten(files={"../fp32_x3.onnx": ""}), "files has '../fp32_x3.onnx', which is no name"),
    "a text for a PSNR": (rewritten(validation={"psnr_y": "x"}), r"validation\.psnr_y: Input should be a valid number"),
}


@pytest.mark.parametrize("wrong", WRONG_CARDS)
def test_a_card_that_is_not_valid_is_one_sentence(folder_copy: Path, wrong: str) -> None:
    file = folder_copy / "fp32_x3.onnx"
    change, sentence = WRONG_CARDS[wrong]
    cards.path_of(file).write_text(json.dumps(change(json.loads(cards.path_of(file).read_text()))))
    with pytest.raises(UserError, match=sentence) as error:
        cards.read(file)
    message = str(error.value)
    assert message.startswith(f"{cards.path_of(file)} is damaged: ")
    assert message.endswith("; export fp32_x3.onnx again")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"{", b'{"model": "\xff"}'])
def test_a_card_that_is_no_json_is_one_sentence(folder_copy: Path, content: bytes) -> None:
    file = folder_copy / "fp32_x3.onnx"
    cards.path_of(file).write_bytes(content)
    with pytest.raises(UserError, match=r"fp32_x3\.onnx\.json is not valid JSON \(.*\); export fp32_x3\.onnx again$"):
        cards.read(file)


@pytest.mark.parametrize("name", ["fp32_x3.onnx", "ptq_x3.xml", "ptq_x3.tflite", "fp32_x3_360x640.tflite"])
@pytest.mark.parametrize("scale", [2, 4])
def test_an_image_of_another_scale_than_that_of_the_card_is_one_sentence(
    folder_copy: Path, name: str, scale: int
) -> None:
    file = folder_copy / name
    cards.write(file, replace(cards.read(file), scale=scale))
    runner, lr = runtimes.load(file, 1), next(lr_images())
    for upscale in (runner, runner.values):
        with pytest.raises(UserError) as error:
            upscale(lr)
        height, width = runner.size or lr.shape[:2]
        assert str(error.value) == (
            f"{file} makes an array of {3 * height} × {3 * width} × 3 of an image of {height} × {width}, and its card "
            f"{name}.json says ×{scale}; export it again"
        )


@pytest.mark.parametrize("name", ["fp32_x3.onnx", "ptq_x3.xml", "ptq_x3.tflite", "fp32_x3_360x640.tflite"])
@pytest.mark.parametrize("wrong", ["dtype", "size"])
def test_images_of_another_kind_than_those_of_the_card_are_one_sentence(
    folder_copy: Path, name: str, wrong: str
) -> None:
    file = folder_copy / name
    card = cards.read(file)
    other = replace(card.input, dtype="uint8" if card.input.dtype == "float32" else "float32")
    changed = replace(card, input=other) if wrong == "dtype" else replace(card, size=(24, 40))
    cards.write(file, changed)
    kinds = [
        f"{of.input.dtype} of {f'{of.size[0]} × {of.size[1]} pixels' if of.size else 'any size'}"
        for of in (card, changed)
    ]
    with pytest.raises(UserError) as error:
        runtimes.load(file, 1)
    assert str(error.value) == (
        f"{file} takes images in {kinds[0]}, and its card {name}.json says {kinds[1]}; export it again"
    )
