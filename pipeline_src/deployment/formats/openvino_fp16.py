"""OpenVINO IR files of float nets with weights stored in 16 bits, which take half the bytes; they run in float32."""

from pathlib import Path

from pipeline_src.deployment.formats import openvino
from pipeline_src.deployment.formats.openvino import (
    LIBRARIES,
    RUNTIME,
    example,
    import_runtime,
    load,
    operators,
    parts,
    raw_call,
    try_out,
)
from pipeline_src.deployment.interface import ModelFile, Size
from pipeline_src.graph.operations import OperationGraph

__all__ = [
    "LABEL",
    "LIBRARIES",
    "RUNTIME",
    "SUFFIX",
    "example",
    "export",
    "import_runtime",
    "load",
    "operators",
    "parts",
    "raw_call",
    "try_out",
    "write",
]

LABEL = "OpenVINO fp16"
SUFFIX = "_fp16.xml"


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>_fp16.xml`` and ``.bin`` of a float net; an int8 net has hardly any float weights."""
    if net.inputs["lr"].scale is not None:
        return []
    file = folder / f"{stem}{SUFFIX}"
    write(net, file)
    return [ModelFile(file, openvino.tensor_spec(net))]


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that accepts any size; ``size`` is ignored."""
    openvino.write_ir(net, file, halves=True)
