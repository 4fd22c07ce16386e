"""Export of every kind of net in every format: the operators of the files, and their images."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import SIZE, assert_close, by_torch, facts, lr_images
from small_net import NETS, OneScale, calibrated, trained
from small_net import images as calibration_images
from torch import Tensor, nn

from pipeline_src import exporting
from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.compression.quantization import convert
from pipeline_src.deployment import cards, formats, runtimes
from pipeline_src.deployment.interface import Operator
from pipeline_src.exporting import inventory
from pipeline_src.graph.folding import fold
from pipeline_src.graph.saturation import LARGEST_SUM

# Operators of a TFLite file; float files also have a MINIMUM, int8 files of any size two QUANTIZE.
OPERATORS = {
    "abpn_nearest_x3": {"CONV_2D": 5, "RESIZE_NEAREST_NEIGHBOR": 1, "DEPTH_TO_SPACE": 1, "ADD": 1},
    "abpn_bilinear_x2": {"CONV_2D": 5, "RESIZE_BILINEAR": 1, "DEPTH_TO_SPACE": 1, "ADD": 1},
    # the mirrored border: of rows and of columns, a slice at either end and a concatenation
    "vdsr_x2": {"STRIDED_SLICE": 4, "CONCATENATION": 2, "CONV_2D": 7, "DEPTH_TO_SPACE": 1, "ADD": 1},
    "vdsr_x3": {"STRIDED_SLICE": 4, "CONCATENATION": 2, "CONV_2D": 7, "DEPTH_TO_SPACE": 1, "ADD": 1},
    "carn_m_x2": {"CONV_2D": 46, "ADD": 9, "CONCATENATION": 13, "DEPTH_TO_SPACE": 1},
    # batch norm is DEPTHWISE_CONV_2D; convolutions with a stride need PAD
    "ecdn_m_x4": {"CONV_2D": 39, "DEPTHWISE_CONV_2D": 15, "CONCATENATION": 19, "DEPTH_TO_SPACE": 4, "PAD": 2},
    "edsr_x2": {"CONV_2D": 9, "ADD": 3, "DEPTH_TO_SPACE": 1},
    "mobile_subnet_x4": {
        "CONV_2D": 12, "DEPTHWISE_CONV_2D": 4, "ADD": 6, "DEPTH_TO_SPACE": 2, "RESIZE_NEAREST_NEIGHBOR": 1,
    },
}  # fmt: skip
# In int8, batch norm goes before the concatenations of a dense block: 1 + 2 + … + 5 in each, instead of 5 and 4.
INT8_OPERATORS = OPERATORS | {
    "ecdn_m_x4": OPERATORS["ecdn_m_x4"] | {"DEPTHWISE_CONV_2D": 45},
}


# Nets with a resize, whose output size a file of any size computes from its input size.
RESIZING = {"abpn_nearest", "abpn_bilinear", "mobile_subnet"}
SIZES = ("SHAPE", "STRIDED_SLICE", "MUL")


def _without_sizes(file: Path, sizes: bool) -> list[Operator]:
    """Return the operators of a file except those that compute a size, which it has if and only if ``sizes``."""
    operators = inventory.operators(file)
    of_sizes = [op for op in operators if op.name in SIZES and "int32" in op.activations]
    assert [op.name for op in of_sizes] == ([*SIZES] if sizes else [])
    return [op for op in operators if op not in of_sizes]


def _dtypes(operators: list[Operator], sizes: bool) -> set[str]:
    """Return the dtypes of activations except the int32 of a size, which occurs if and only if ``sizes``."""
    dtypes = {dtype for op in operators for dtype in op.activations}
    assert ("int32" in dtypes) == sizes
    return dtypes - {"int32"}


@dataclass
class Images:
    """An LR image upscaled in torch and by the file of each runtime."""

    torch: np.ndarray
    files: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def upscaled(exported: tuple[str, Path]) -> dict[str, list[Images]]:
    """Return images of three shapes at each scale of a net, by variant."""
    name, folder = exported
    nets: dict[str, Any] = {"fp32": trained(name), "ptq": convert(calibrated(trained(name)))}
    images: dict[str, list[Images]] = {"fp32": [], "ptq": []}
    for variant, net in nets.items():
        for scale in NETS[name][1]:
            files = {suffix: folder / f"{variant}_x{scale}{suffix}" for suffix in (".onnx", ".xml", ".tflite")}
            runners = {suffix: runtimes.load(file, 1) for suffix, file in files.items()}
            for image in lr_images():
                lr = np.ascontiguousarray(image[:33, :40])
                by_files = {suffix: runner(lr) for suffix, runner in runners.items()}
                images[variant].append(Images(by_torch(net.at_scale(scale), lr), by_files))
    return images


def test_tflite_files_contain_only_the_expected_operators(exported: tuple[str, Path]) -> None:
    name, folder = exported
    for scale in NETS[name][1]:
        for suffix in ("", "_24x40"):
            sizes = name in RESIZING and not suffix
            operators = _without_sizes(folder / f"fp32_x{scale}{suffix}.tflite", sizes)
            assert Counter(op.name for op in operators) == OPERATORS[f"{name}_x{scale}"] | {"MINIMUM": 1}
            assert _dtypes(operators, sizes) == {"float32"}
            inner = _without_sizes(folder / f"ptq_x{scale}{suffix}.tflite", sizes)
            if not suffix:
                first, *inner, last = inner
                assert first == last == Operator("QUANTIZE", ("int8", "uint8"), ())
            assert Counter(op.name for op in inner) == INT8_OPERATORS[f"{name}_x{scale}"]
            assert _dtypes(inner, sizes) == {"int8"}
            assert {op.constants for op in inner if "CONV" in op.name} == {("int32", "int8")}  # bias, weights


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_onnx_files_contain_only_the_expected_operators(exported: tuple[str, Path], variant: str) -> None:
    name, folder = exported
    others = {"Clip"} if variant == "fp32" else {"QuantizeLinear", "DequantizeLinear"}
    for scale in NETS[name][1]:
        tflite, onnx = (
            Counter(op.name for op in operators)
            for operators in (
                _without_sizes(folder / f"{variant}_x{scale}.tflite", name in RESIZING),
                inventory.operators(folder / f"{variant}_x{scale}.onnx"),
            )
        )
        assert set(onnx) <= {"Conv", "Relu", "Add", "Concat", "DepthToSpace", "Slice", "Resize"} | others
        assert onnx["Conv"] == tflite["CONV_2D"] + tflite["DEPTHWISE_CONV_2D"]
        assert (onnx["Add"], onnx["DepthToSpace"]) == (tflite["ADD"], tflite["DEPTH_TO_SPACE"])
        assert onnx["Resize"] == (name in RESIZING)
        assert (onnx["Slice"], onnx["Concat"]) == (tflite["STRIDED_SLICE"], tflite["CONCATENATION"])


def test_float_files_give_the_image_of_torch(upscaled: dict[str, list[Images]]) -> None:
    for images in upscaled["fp32"]:
        assert images.torch.std() > 10
        for image in images.files.values():
            assert_close(image, images.torch, levels=1, decibels=70)


def test_int8_files_give_the_image_of_the_converted_net(upscaled: dict[str, list[Images]]) -> None:
    for images in upscaled["ptq"]:
        for suffix in (".tflite", ".onnx"):
            assert_close(images.files[suffix], images.torch, levels=1, decibels=60)
        # OpenVINO does not round between a convolution and the sum behind it.
        for other in (images.torch, images.files[".onnx"]):
            assert_close(images.files[".xml"], other, levels=3, decibels=50)


def test_int8_is_close_to_float(upscaled: dict[str, list[Images]]) -> None:
    for exact, rounded in zip(upscaled["fp32"], upscaled["ptq"], strict=True):
        assert_close(rounded.torch, exact.torch, levels=20, decibels=44)


@pytest.mark.parametrize("exported", ["carn_m"], indirect=True)
def test_shared_weights_are_stored_once(exported: tuple[str, Path]) -> None:
    """CARN-M uses each of its residual units three times."""
    name, folder = exported
    stored = 4 * sum(parameter.numel() for parameter in trained(name).parameters())
    for file in ("fp32_x2.tflite", "fp32_x2.onnx"):
        assert stored < (folder / file).stat().st_size < 1.1 * stored
    assert (folder / "ptq_x2.tflite").stat().st_size < 0.4 * stored


@pytest.mark.parametrize(
    ("name", "in_float", "borders"),
    [
        ("abpn", ["body.2", "body.4"], 1),  # consecutive: float between them too
        ("carn_m", ["body.fusions.0", "tail"], 2),
        ("edsr", ["add"], 0),
        ("edsr", ["pixels_weight"], 1),  # the only reader of the image
    ],
)
def test_files_of_a_mixed_net_keep_the_named_layers_in_float(
    tmp_path: Path, name: str, in_float: list[str], borders: int
) -> None:
    net, scale = trained(name), NETS[name][1][0]
    prepared = quantization.prepare(fold(net), in_float)
    calibrate(prepared, {scale: calibration_images() for scale in NETS[name][1]})
    graph = convert(prepared).at_scale(scale)
    exporting.export(graph, tmp_path, "mixed", SIZE, facts(scale=scale, float_layers=in_float))
    assert formats.try_out(tmp_path.rglob("*.xml")) == {}
    assert 0 < cards.read(tmp_path / "mixed.onnx").largest_sum <= LARGEST_SUM
    inner = inventory.operators(tmp_path / "mixed_24x40.tflite")
    float_convs = [op for op in inner if op.name == "CONV_2D" and op.constants == ("float32",)]
    assert len(float_convs) == sum(name != "add" for name in in_float)
    assert [op.name for op in inner].count("QUANTIZE") == borders
    lr = np.ascontiguousarray(next(lr_images())[:33, :40])
    for suffix in (".onnx", ".xml", ".tflite"):
        assert_close(runtimes.load(tmp_path / f"mixed{suffix}", 1)(lr), by_torch(graph, lr), levels=3, decibels=50)


class Branching(nn.Module):
    """A convolution whose output a ReLU and a sum read, so that the ReLU cannot be fused with the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        return torch.clamp(self.tail(torch.relu(features) + features), 0, 255)


def test_a_relu_is_a_separate_operator_if_something_else_reads_its_input(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = OneScale(Branching(), 1)
    net.net.tail.bias.data.fill_(100)
    for variant, graphs in (("fp32", fold(net)), ("ptq", convert(calibrated(net)))):
        exporting.export(graphs.at_scale(1), tmp_path, variant, SIZE, facts(variant=variant))
        assert [op.name for op in inventory.operators(tmp_path / f"{variant}.tflite")].count("RELU") == 1
        lr = np.ascontiguousarray(next(lr_images())[:33, :40])
        for suffix in (".onnx", ".xml", ".tflite"):
            sr = by_torch(graphs.at_scale(1), lr)
            assert_close(runtimes.load(tmp_path / f"{variant}{suffix}", 1)(lr), sr, levels=3, decibels=50)
