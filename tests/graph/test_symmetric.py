"""Int8 nets with symmetric activations, the form that TensorRT takes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import SIZE, by_torch, facts, lr_images
from small_net import calibrated, trained

from pipeline_src import exporting
from pipeline_src.compression import quantization
from pipeline_src.deployment import reference, runtimes
from pipeline_src.deployment.formats import onnx as onnx_format
from pipeline_src.graph import reading
from pipeline_src.graph.operations import Clamp, Convolution
from pipeline_src.graph.symmetric import symmetric

QDQ = ("QuantizeLinear", "DequantizeLinear")


@pytest.fixture(scope="module", params=["abpn", "abpn_bilinear", "carn_m", "edsr"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name = request.param
    net = trained(name)
    (scale, *_) = net.description.scales
    graph = quantization.convert(calibrated(net)).at_scale(scale)
    path = tmp_path_factory.mktemp(name) / "ptq.onnx"
    exporting.export_file(graph, "tensorrt", path, facts(model=name, scale=scale))
    return name, path


def test_the_file_has_signed_int8_with_zero_point_0_and_float_ends_and_biases(file: tuple[str, Path]) -> None:
    """What TensorRT's ONNX parser demands of Q/DQ: int8, symmetric, a scale per tensor or along axis 0 of weights."""
    model = onnx.load(file[1])
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    graph = model.graph
    assert {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)} == {onnx.TensorProto.FLOAT}
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    conversions = [node for node in graph.node if node.op_type in QDQ]
    assert {node.op_type for node in conversions} == {*QDQ}
    for node in conversions:
        value, scale, *zero_point = node.input
        assert (constants[scale] > 0).all()
        assert all(constants[zero].dtype == np.int8 and not constants[zero].any() for zero in zero_point)
        assert zero_point or constants[value].dtype == np.int8  # weights
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert all(constants[node.input[2]].dtype == np.float32 for node in convolutions)
    quantised = [[made_by.get(name) for name in node.input[:2]] for node in convolutions]
    both = [{bool(maker and maker.op_type == "DequantizeLinear") for maker in makers} for makers in quantised]
    assert both.count({True}) >= len(both) - 2  # all but those that read the image
    assert all(len(kinds) == 1 for kinds in both)  # never an int8 weight beside a float input
    assert graph.node[-1].op_type == "Clip"


def test_the_net_stays_the_same_but_for_its_coarser_steps(file: tuple[str, Path]) -> None:
    name, path = file
    runner, net = runtimes.load(path, 1), trained(name)
    for lr in lr_images():
        sr = by_torch(net.at_scale(runner.scale), lr)
        assert reference.compare(runner(lr), sr).psnr > 32


def test_the_symmetric_net_is_a_new_one() -> None:
    net = reading.read(quantization.convert(calibrated(trained("abpn"))).at_scale(3))
    before = [(x.scale, x.zero_point) for operation in net.operations for x in operation.outputs]
    converted = symmetric(net)
    assert isinstance(converted.operations[-1], Clamp)
    assert [(x.scale, x.zero_point) for operation in net.operations for x in operation.outputs] == before
    assert any(isinstance(op, Convolution) and op.weights.scales is None for op in converted.operations)


def test_a_file_of_one_size_says_its_size(tmp_path: Path) -> None:
    net = reading.read(quantization.convert(calibrated(trained("abpn"))).at_scale(3))
    model = onnx_format.export_for_tensorrt(net, tmp_path / "one.onnx", SIZE)
    assert model.size == SIZE
    shape = onnx.load(model.path).graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim] == [1, 3, *SIZE]
