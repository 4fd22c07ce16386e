"""Files of single operators: they contain only that operator, and give the same values in each runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from pipeline_src.deployment.formats import openvino, tflite
from pipeline_src.exporting import inventory
from pipeline_src.microbenchmarks.operators import operators
from pipeline_src.microbenchmarks.synthetic import STEP

HEIGHT, WIDTH, CHANNELS = 6, 10, 8
OPERATORS = {
    "3×3 convolution": "CONV_2D", "1×1 convolution": "CONV_2D", "3×3 convolution, 4 groups": "CONV_2D",
    "3×3 depthwise convolution": "DEPTHWISE_CONV_2D", "ReLU": "RELU", "LeakyReLU": "LEAKY_RELU", "PReLU": "PRELU",
    "sum of two": "ADD", "product of two": "MUL", "concatenation of two": "CONCATENATION", "split in two": "SPLIT",
    "transpose": "TRANSPOSE",
    "anchor (image 9 times)": "CONCATENATION", "anchor as a 1×1 convolution": "CONV_2D",
    "depth to space ×3": "DEPTH_TO_SPACE",
    "nearest resize ×3": "RESIZE_NEAREST_NEIGHBOR", "bilinear resize ×3": "RESIZE_BILINEAR",
}  # fmt: skip


def by_tflite(file: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    for end, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(end["index"], values.astype(end["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(end["index"]) for end in interpreter.get_output_details()]


def by_openvino(file: Path, inputs: list[np.ndarray], int8: bool) -> list[np.ndarray]:
    """Return the outputs of OpenVINO in the layout and zero point of TFLite."""
    model: Any = openvino.compile_model(file, 1, (HEIGHT, WIDTH))
    dtype, zero_point = ("uint8", 128) if int8 else ("float32", 0)
    outputs = model([(values.transpose(0, 3, 1, 2) + zero_point).astype(dtype) for values in inputs])
    return [outputs[tensor].transpose(0, 2, 3, 1).astype(float) - zero_point for tensor in model.outputs]


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("name", OPERATORS)
def test_openvino_and_tflite_compute_the_same_values(tmp_path: Path, name: str, int8: bool) -> None:
    net = operators(CHANNELS, WIDTH, int8)[name]
    tflite.write(net, tmp_path / "operator.tflite", (HEIGHT, WIDTH))
    openvino.write(net, tmp_path / "operator.xml")
    (operator,) = inventory.operators(tmp_path / "operator.tflite")
    assert (operator.name, operator.activations) == (OPERATORS[name], ("int8" if int8 else "float32",))
    random = np.random.default_rng(1)
    shapes = [(1, HEIGHT, WIDTH, x.channels) for x in net.inputs.values()]
    inputs = [random.integers(-90, 90, shape) * (1 if int8 else STEP) for shape in shapes]
    from_tflite = by_tflite(tmp_path / "operator.tflite", inputs)
    from_openvino = by_openvino(tmp_path / "operator.xml", inputs, int8)
    assert len(from_tflite) == len(from_openvino) == len(net.outputs)
    for first, second in zip(from_tflite, from_openvino, strict=True):
        assert first.shape == second.shape
        assert first.std() > 0
        assert abs(first.astype(float) - second).max() <= (1 if int8 else 1e-3)


def test_every_operator_is_tested() -> None:
    assert list(operators(CHANNELS, WIDTH, int8=True)) == list(OPERATORS)
