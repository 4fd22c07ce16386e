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
    "VARIANTS",
    "example",
    "export",
    "export_file",
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
VARIANTS: tuple[str, ...] = ("fp32",)


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>_fp16.xml`` and ``.bin`` of a float net; an int8 net has hardly any float weights."""
    if net.image.scale is not None:
        return []
    return [export_file(net, folder / f"{stem}{SUFFIX}")]


def export_file(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    """Write one file of a float super-resolution net, ``file`` and the ``.bin`` beside it."""
    openvino.write_ir(net, file, halves=True, size=size)
    return ModelFile.of(net, file, openvino.tensor_spec(net), size)


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that accepts any size; ``size`` is ignored."""
    openvino.write_ir(net, file, halves=True)
