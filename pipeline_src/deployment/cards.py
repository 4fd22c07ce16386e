"""The JSON card beside every exported file: what it is, what it takes and gives, and what it was made from."""

import importlib.metadata
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline_src.compression.ranges import LARGEST_SUM
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, write_json

Format = Literal["onnx", "openvino", "openvino_fp16", "tflite"]

MAKERS = {
    "onnx": ["torch", "torchao", "onnx", "onnxruntime"],
    "openvino": ["torch", "torchao", "onnx", "openvino"],
    "tflite": ["torch", "torchao", "ai-edge-litert"],
}
MAKERS["openvino_fp16"] = MAKERS["openvino"]


LICENCE = "MIT, as the code that trained it; the terms of the images it was trained on are their own"
OPEN = """import numpy as np
from PIL import Image

lr = np.asarray(Image.open("photo.png").convert("RGB")){size}
"""
LR = {"float32": 'lr.astype("float32")', "uint8": "lr", "int8": '(lr ^ 128).view("int8")'}  # int8: less 128
BACK = {"int8": '.view("uint8") ^ 128'}
CLOSE = """
Image.fromarray(sr.clip(0, 255).round().astype("uint8")).save("large.png")
"""
RUN = {
    "onnx": """import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import
import onnxruntime

options = onnxruntime.SessionOptions(){exact}
session = onnxruntime.InferenceSession("{file}", options)
sr = session.run(None, {{"lr": {lr}.transpose(2, 0, 1)[None]}})[0][0].transpose(1, 2, 0)""",
    "openvino": """import openvino

model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
sr = model({lr}.transpose(2, 0, 1)[None])[0][0].transpose(1, 2, 0)""",
    "tflite": """from ai_edge_litert.interpreter import Interpreter

net = Interpreter("{file}", num_threads=2)
net.resize_tensor_input(net.get_input_details()[0]["index"], (1, *lr.shape))
net.allocate_tensors()
net.set_tensor(net.get_input_details()[0]["index"], {lr}[None])
net.invoke()
sr = net.get_tensor(net.get_output_details()[0]["index"])[0]{back}""",
}
RUN["openvino_fp16"] = RUN["openvino"]
# What an ONNX example says of the session option that makes int8 sums exact on CPUs without VNNI: by whether the file
# needs it. It costs much of the speed on a CPU with VNNI (benchmarks/int8_on_this_cpu.py).
EXACT = {
    False: """
# This file is the same net on every CPU: it needs no session option x64quantprecision, which would be slower.""",
    True: """
options.add_session_config_entry("session.x64quantprecision", "1")  # exact on CPUs without VNNI too""",
}


@dataclass(frozen=True)
class Border:
    """One end of an exported net: ``value = scale · (q - zero_point)``, values in 0..255."""

    dtype: Literal["float32", "uint8", "int8"]
    layout: Literal["NHWC", "NCHW"]
    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class Card:
    """``system`` is a net: a system, or ``<system>/<name>``, pruned. ``size`` is [height, width] of the LR image where
    the file takes that size alone; ``colour`` is what the net was trained in, RGB or Y; ``lr`` is the downscaler whose
    images it was trained on; ``float_layers`` are those of an int8 net that compute in float; ``largest_sum`` is the
    largest sum of two neighbouring products in an int8 net: up to ``ranges.LARGEST_SUM`` every CPU computes the same;
    ``reference`` names the image that the net makes of ``reference_lr.png`` beside it; ``mult_adds`` are for a 1280×720
    HR image; ``validation`` are PSNRs in dB on the middles of the validation images, in torch; ``files`` and
    ``weights`` map names to SHA-256; ``example`` is a Python program that upscales photo.png; ``fails`` says why the
    file cannot be run, where it was tried and could not."""

    system: str
    model: str
    variant: str
    format: Format
    scale: int
    colour: str
    lr: str
    parameters: int
    mult_adds: int
    float_layers: list[str]
    largest_sum: int
    reference: str
    size: list[int] | None
    input: Border
    output: Border
    validation: dict[str, float]
    files: dict[str, str]
    weights: dict[str, str]
    versions: dict[str, str]
    licence: str
    example: str
    fails: str = ""


def path_of(file: Path) -> Path:
    """Where the card of an exported file lies."""
    return file.with_name(f"{file.name}.json")


def parts_of(file: Path) -> list[Path]:
    """The files an exported net consists of: an OpenVINO ``.xml`` has a ``.bin`` beside it."""
    return [file, file.with_suffix(".bin")] if file.suffix == ".xml" else [file]


def versions(made_as: Format) -> dict[str, str]:
    """The versions of the libraries that make a file of this format."""
    return {name: importlib.metadata.version(name) for name in MAKERS[made_as]}


def write(file: Path, card: dict[str, Any]) -> Card:
    """Write the card of a file; ``card`` holds what cannot be told from the file."""
    hashes = {part.name: sha256(part) for part in parts_of(file)}
    size = card["size"] and f"  # of {card['size'][1]}×{card['size'][0]} pixels"
    example = OPEN + RUN[card["format"]] + CLOSE
    whole = Card(
        **card,
        files=hashes,
        versions=versions(card["format"]),
        licence=LICENCE,
        example=example.format(
            file=file.name,
            lr=LR[card["input"].dtype],
            back=BACK.get(card["output"].dtype, ""),
            size=size or "",
            exact=EXACT[card["largest_sum"] > LARGEST_SUM] if card["largest_sum"] else "",
        ),
    )
    write_json(path_of(file), asdict(whole))
    return whole


def mark_as_failing(file: Path, reason: str) -> None:
    """Write into the card of a file why it cannot be run."""
    write_json(path_of(file), asdict(read(file)) | {"fails": reason})


def read(file: Path) -> Card:
    """The card of a file; UserError if it is missing, or if the file is not the one it describes."""
    try:
        fields = json.loads(path_of(file).read_text())
        card = Card(**fields | {end: Border(**fields[end]) for end in ("input", "output")})
    except FileNotFoundError:
        raise UserError(f"{file} has no card {path_of(file).name} beside it; give a file of the stage export") from None
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise UserError(f"{path_of(file)} is not a card ({error}); export {file.name} again") from None
    for part in parts_of(file):
        if not part.is_file():
            raise UserError(f"{part} does not exist; export it again")
        if sha256(part) != card.files.get(part.name):
            raise UserError(
                f"{part} is not the file that {path_of(file).name} describes: it is damaged; export it again"
            )
    return card


def of_folder(folder: Path) -> dict[Path, Card]:
    """Every exported file under a folder with its card, sorted by name; UserError if there is none."""
    files = [card.with_suffix("") for card in sorted(folder.rglob("*.*.json"))]
    if not files:
        raise UserError(f"{folder} holds no exported file with a card; run the stage export first")
    return {file: read(file) for file in files}
