"""TFLite files: their operators and tensors, and the differences between the files of one size and of any size."""

import copy
from pathlib import Path

import numpy as np
import pytest
from exported import assert_close
from shared import photograph

from pipeline_src.deployment import cards, runtimes
from pipeline_src.deployment.interface import Operator
from pipeline_src.errors import UserError
from pipeline_src.exporting import inventory


@pytest.mark.parametrize("name", ["fp32_x3.tflite", "fp32_x3_360x640.tflite"])
def test_float_tflite_files_contain_only_the_expected_operators(folder: Path, name: str) -> None:
    operators = inventory.operators(folder / name)
    names = [op.name for op in operators]
    assert {n: names.count(n) for n in names} == {"CONV_2D": 6, "ADD": 1, "MINIMUM": 1, "DEPTH_TO_SPACE": 1}
    assert {dtype for op in operators for dtype in op.activations + op.constants} == {"float32"}


@pytest.mark.parametrize("name", ["ptq_x3.tflite", "ptq_x3_360x640.tflite"])
def test_int8_tflite_files_are_int8_from_input_to_output(folder: Path, name: str) -> None:
    inner = inventory.operators(folder / name)
    if "360x640" not in name:
        first, *inner, last = inner
        assert first == last == Operator("QUANTIZE", ("int8", "uint8"), ())
    names = [op.name for op in inner]
    assert {n: names.count(n) for n in names} == {"CONV_2D": 6, "ADD": 1, "DEPTH_TO_SPACE": 1}
    assert {op.activations for op in inner} == {("int8",)}
    assert {op.constants for op in inner if op.name == "CONV_2D"} == {("int32", "int8")}  # bias, weights


@pytest.mark.parametrize(
    ("variant", "dtypes"), [("fp32", (np.float32, np.float32)), ("ptq", (np.uint8, np.int8))], ids=["fp32", "ptq"]
)
def test_tflite_inputs_and_outputs_match_the_card(folder: Path, variant: str, dtypes: tuple[type, type]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for suffix, signature, dtype in zip(("", "_360x640"), ([1, -1, -1, 3], [1, 360, 640, 3]), dtypes, strict=True):
        name = f"{variant}_x3{suffix}"
        card = cards.read(folder / f"{name}.tflite")
        interpreter = Interpreter(model_path=str(folder / f"{name}.tflite"))
        ends = (card.input, interpreter.get_input_details()), (card.output, interpreter.get_output_details())
        for spec, details in ends:
            assert details[0]["dtype"] == dtype == np.dtype(spec.dtype)
            if dtype != np.float32:
                assert details[0]["quantization"] == (spec.scale, spec.zero_point) == (1.0, np.iinfo(dtype).min)
        assert list(interpreter.get_input_details()[0]["shape_signature"]) == signature
        assert card.size == (None if -1 in signature else (360, 640))


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_the_file_of_one_size_gives_the_same_image_as_the_file_of_any_size(folder: Path, variant: str) -> None:
    lr = np.ascontiguousarray(photograph("coffee.png")[:360, :600].repeat(2, axis=1)[:, :640])
    fixed, dynamic = (runtimes.load(folder / f"{variant}_x3{s}.tflite", 2) for s in ("_360x640", ""))
    assert_close(fixed(lr), dynamic(lr), levels=0, decibels=90)
    with pytest.raises(UserError, match="takes only images of 360×640 pixels, not 361×640; use"):
        fixed(np.zeros((361, 640, 3), np.uint8))


def test_the_files_of_one_and_any_size_differ_only_in_the_uint8_images(folder: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    files = (folder / f"ptq_x3{suffix}.tflite" for suffix in ("_360x640", ""))
    fixed, dynamic = (flatbuffer_utils.convert_bytearray_to_object(file.read_bytes()) for file in files)
    assert len(fixed.buffers) == len(dynamic.buffers)
    assert len(fixed.subgraphs[0].tensors) == len(dynamic.subgraphs[0].tensors) - 2  # the images in uint8
    for first, second in zip(fixed.buffers, copy.deepcopy(dynamic.buffers), strict=True):
        assert (first.data is None) == (second.data is None)
        assert first.data is None or bytes(first.data) == bytes(second.data)
