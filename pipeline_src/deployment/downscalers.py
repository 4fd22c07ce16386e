"""A learned downscaler as ONNX and OpenVINO files, made of standard operators.

Its taps go through GridSample, all of them side by side as an image k times as large, which a mean over k×k then adds
up. TFLite has no such operator: ``docs/deployment.md``.
"""

import warnings
from pathlib import Path
from typing import Any

import torch

from pipeline_src.deployment import openvino
from pipeline_src.deployment.onnx import OPSET
from pipeline_src.files import sha256, write_json

STEM = "downscaler"


def export(net: Any, weights: Path, folder: Path, system: str) -> None:
    """Write ``downscaler.onnx``, ``.xml`` and ``.bin``, and a card: ``hr`` 1×3×H×W in 0..255, of H and W that are
    multiples of 8 and 16 at the least, to ``lr`` 1×3×(H/s)×(W/s) in 0..255, float32; the caller rounds."""
    file = folder / f"{STEM}.onnx"
    sides = {2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of this exporter's successor, which fails on graphs of any size
        torch.onnx.export(
            net.in_standard_operators().eval(),
            (torch.zeros(1, 3, 64, 96),),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["hr"],
            output_names=["lr"],
            dynamic_axes={"hr": sides},
        )
    openvino.export(file, file.with_suffix(".xml"))
    files = [file, file.with_suffix(".xml"), file.with_suffix(".bin")]
    card = {
        "system": system,
        "scale": net.scale,
        "input": {"name": "hr", "dtype": "float32", "layout": "NCHW", "range": [0, 255], "multiple_of": 8},
        "output": {"name": "lr", "dtype": "float32", "layout": "NCHW", "range": [0, 255], "round": True},
        "parameters": sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad),
        "files": {part.name: sha256(part) for part in files},
        "weights": {weights.name: sha256(weights)},
    }
    write_json(folder / f"{STEM}.json", card)
