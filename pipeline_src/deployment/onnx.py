"""ONNX files: float, and int8 as QDQ with uint8 activations (opset 21, batch 1, any height and width)."""

import logging
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from pipeline_src.compression.quantization import SIDES

OPSET = 21  # the first with int8 and uint8 in every operator of a QDQ graph


def export_float(net: nn.Module) -> Any:
    """ONNX model of a float net: ``lr`` float 1×3×H×W in 0..255 to ``sr`` float 1×3×sH×sW."""
    return _export(net)


def export_int8(folded: nn.Module) -> Any:
    """ONNX model of a converted net (``quantization.convert(…, fold=True)``): uint8 NCHW in and out."""
    return with_uint8_activations(_export(folded))


def _export(net: nn.Module) -> Any:
    from onnxscript import opset21

    def depth_to_space(x: Any, block: int) -> Any:
        return opset21.DepthToSpace(x, blocksize=block, mode="DCR")

    sides = ({2: Dim("height", **SIDES), 3: Dim("width", **SIDES)},)
    net.eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which these nets do not use
    program = torch.onnx.export(
        torch.export.export(net, (torch.zeros(1, 3, 24, 32),), dynamic_shapes=sides),
        dynamo=True,
        opset_version=OPSET,
        custom_translation_table={torch.ops.super_resolution.depth_to_space.default: depth_to_space},
        input_names=["lr"],
        output_names=["sr"],
        verbose=False,
    )
    assert program
    return program.model_proto


def with_uint8_activations(model: Any) -> Any:
    """Rewrite int8 activations as uint8, zero points + 128: the same numbers, and uint8 NCHW images in and out.

    OpenVINO takes int8 activations in a QDQ graph wrongly (16.6 dB against ONNX Runtime), uint8 ones rightly.
    """
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    initial = {tensor.name: tensor for tensor in graph.initializer}
    quantised = {output for node in graph.node if node.op_type == "QuantizeLinear" for output in node.output}

    def as_uint8(zero_point: str) -> str:
        name = f"{zero_point}_uint8"
        if name not in initial:
            zeros = numpy_helper.to_array(initial[zero_point]).astype(np.int16) + 128
            initial[name] = numpy_helper.from_array(zeros.astype(np.uint8), name)
            graph.initializer.append(initial[name])
        return name

    for node in graph.node:
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] in quantised):
            node.input[2] = as_uint8(node.input[2])
            kept = [attribute for attribute in node.attribute if attribute.name != "output_dtype"]
            del node.attribute[:]
            node.attribute.extend(kept)
    for value in graph.value_info:
        if value.name in quantised:
            value.type.tensor_type.elem_type = TensorProto.UINT8
    _drop_border(model)
    return model


def _drop_border(model: Any) -> None:
    """Take the quantised image itself in and out: quantising 0..255 at scale 1 and zero point 0 changes nothing."""
    from onnx import TensorProto

    graph = model.graph
    (lr,), (sr,) = graph.input, graph.output
    (first,) = (node for node in graph.node if lr.name in node.input)
    (last,) = (node for node in graph.node if sr.name in node.output)
    for node in graph.node:
        node.input[:] = [lr.name if name == first.output[0] else name for name in node.input]
        node.output[:] = [sr.name if name == last.input[0] else name for name in node.output]
    graph.node.remove(first)
    graph.node.remove(last)
    for border in (lr, sr):
        border.type.tensor_type.elem_type = TensorProto.UINT8
    used = {name for node in graph.node for name in node.input}
    made = {name for node in graph.node for name in node.output}
    for entries, wanted in ((graph.initializer, used), (graph.value_info, made - {sr.name})):
        kept = [entry for entry in entries if entry.name in wanted]
        del entries[:]
        entries.extend(kept)
