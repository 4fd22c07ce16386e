"""OpenVINO IR files of float nets with their weights stored in 16 bits: half the bytes, computed in float32."""

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
    """Write ``<stem>_fp16.xml`` and ``.bin`` of a float net; an int8 net has no weights worth it."""
    if net.inputs["lr"].scale is not None:
        return []
    file = folder / f"{stem}{SUFFIX}"
    write(net, file)
    return [ModelFile(file, openvino.tensor_spec(net))]


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that takes any size; ``size`` is ignored."""
    openvino.write_ir(net, file, halves=True)
