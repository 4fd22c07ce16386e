"""ONNX files: their operators, and running them in ONNX Runtime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline_src.deployment import cards, runtimes
from pipeline_src.deployment.formats import onnx
from pipeline_src.errors import UserError
from pipeline_src.exporting import inventory
from pipeline_src.files import sha256
from pipeline_src.graph.saturation import LARGEST_SUM
from pipeline_src.microbenchmarks.operators import operators


def test_int8_onnx_files_are_qdq_with_uint8_activations_and_int8_weights(folder: Path) -> None:
    import onnx

    operators = inventory.operators(folder / "ptq_x3.onnx")
    quantize = [op for op in operators if op.name == "QuantizeLinear"]
    assert quantize
    assert {op.activations for op in quantize} == {("float32", "uint8")}
    assert {op.constants for op in operators if op.name == "DequantizeLinear"} == {
        ("float32", "uint8"),  # activations
        ("float32", "int8"),  # weights
        ("float32", "int32"),  # biases
    }
    graph = onnx.load(folder / "ptq_x3.onnx").graph
    assert {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)} == {onnx.TensorProto.UINT8}
    (upscale,) = (node for node in graph.node if node.op_type == "DepthToSpace")
    assert {a.name: onnx.helper.get_attribute_value(a) for a in upscale.attribute}["mode"] == b"DCR"


def test_float_onnx_files_are_of_what_tensorrt_takes(folder: Path) -> None:
    """Opset 17, and float32 from end to end; the sizes of the image are free, and the input is called lr."""
    import onnx

    model = onnx.load(folder / "fp32_x3.onnx")
    assert [entry.version for entry in model.opset_import] == [17]
    assert {end.type.tensor_type.elem_type for end in (*model.graph.input, *model.graph.output)} == {
        onnx.TensorProto.FLOAT
    }
    (image,) = model.graph.input
    height, width = image.type.tensor_type.shape.dim[2:]
    assert (image.name, height.dim_value, width.dim_value) == ("lr", 0, 0)
    assert not {node.op_type for node in model.graph.node} & {"QuantizeLinear", "DequantizeLinear"}


def test_a_file_that_cannot_run_in_the_exact_mode_that_it_needs_is_a_user_error(folder_copy: Path) -> None:
    """The file is noise with the card of a file whose int8 sums can saturate."""
    file = folder_copy / "ptq_x3.onnx"
    file.write_bytes(b"no model")
    card = replace(cards.read(folder_copy / "ptq_x3.xml"), largest_sum=LARGEST_SUM + 1, files={file.name: sha256(file)})
    cards.write(file, card)
    with pytest.raises(UserError, match=r"cannot open .*ptq_x3\.onnx in the exact mode .* quantise the net again"):
        runtimes.load(file, 1)


def test_raw_call_runs_a_file_of_several_inputs(tmp_path: Path) -> None:
    for int8 in (False, True):
        onnx.write(operators(8, 10, int8)["sum of two"], tmp_path / "sum.onnx")
        (y,) = onnx.raw_call(tmp_path / "sum.onnx", (6, 10), 1)()
        assert (y.shape, y.dtype) == ((1, 8, 6, 10), np.uint8 if int8 else np.float32)
