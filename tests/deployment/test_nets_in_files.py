"""Every kind of net in the files of every runtime: its operators and no others, and the images that torch gives."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import assert_close, by_torch, export, lr_images
from small_net import NETS, calibrated, trained

from pipeline_src.compression.folding import fold
from pipeline_src.compression.quantization import convert
from pipeline_src.deployment import inventory, openvino, operations, runtimes
from pipeline_src.errors import UserError
from pipeline_src.models import build

NAMES = [name for name in NETS if name != "abpn"]  # which has tests of its own
SIZE = (24, 40)

# What a TFLite file holds; float files have a MINIMUM besides, int8 files two QUANTIZE.
OPERATORS = {
    "vdsr_x2": {"MIRROR_PAD": 1, "CONV_2D": 7, "DEPTH_TO_SPACE": 1, "ADD": 1},
    "vdsr_x3": {"MIRROR_PAD": 1, "CONV_2D": 7, "DEPTH_TO_SPACE": 1, "ADD": 1},
    "carn_m_x2": {"CONV_2D": 46, "ADD": 9, "CONCATENATION": 13, "DEPTH_TO_SPACE": 1},
    # batch norm is DEPTHWISE_CONV_2D; the steps up and down take a stride, and therefore PAD
    "ecdn_m_x4": {"CONV_2D": 39, "DEPTHWISE_CONV_2D": 15, "CONCATENATION": 19, "DEPTH_TO_SPACE": 4, "PAD": 2},
    "edsr_x2": {"CONV_2D": 9, "ADD": 3, "DEPTH_TO_SPACE": 1},
}
# In int8 batch norm goes before the concatenations of a dense block: 1 + 2 + … + 5 in each, where they were 5 and 4.
INT8_OPERATORS = OPERATORS | {
    "ecdn_m_x4": OPERATORS["ecdn_m_x4"] | {"DEPTHWISE_CONV_2D": 45},
}


@pytest.fixture(scope="module", params=NAMES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    export(request.param, folder, SIZE)
    openvino.try_compile(folder)
    return request.param, folder


@dataclass
class Images:
    """One LR image upscaled: in torch, and by the file of each runtime."""

    torch: np.ndarray
    files: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def upscaled(exported: tuple[str, Path]) -> dict[str, list[Images]]:
    """By variant, at each scale of a net and of two sizes."""
    name, folder = exported
    nets: dict[str, Any] = {"fp32": trained(name), "ptq": convert(calibrated(trained(name)))}
    found: dict[str, list[Images]] = {"fp32": [], "ptq": []}
    for variant, net in nets.items():
        for scale in NETS[name][1]:
            files = {suffix: folder / f"{variant}_x{scale}{suffix}" for suffix in (".onnx", ".xml", ".tflite")}
            runners = {suffix: runtimes.load(file, 1) for suffix, file in files.items()}
            for image in lr_images():
                lr = np.ascontiguousarray(image[:33, :40])
                by_files = {suffix: runner(lr) for suffix, runner in runners.items()}
                found[variant].append(Images(by_torch(net.at_scale(scale), lr), by_files))
    return found


def test_tflite_files_hold_nothing_but_their_operators(exported: tuple[str, Path]) -> None:
    name, folder = exported
    for scale in NETS[name][1]:
        wanted = OPERATORS[f"{name}_x{scale}"]
        for suffix in ("", "_24x40"):
            operators = inventory.operators(folder / f"fp32_x{scale}{suffix}.tflite")
            assert Counter(op.name for op in operators) == wanted | {"MINIMUM": 1}
            assert {dtype for op in operators for dtype in op.activations} == {"float32"}
            first, *inner, last = inventory.operators(folder / f"ptq_x{scale}{suffix}.tflite")
            assert first == last == inventory.Operator("QUANTIZE", ("int8", "uint8"), ())
            assert Counter(op.name for op in inner) == INT8_OPERATORS[f"{name}_x{scale}"]
            assert {op.activations for op in inner} == {("int8",)}
            assert {op.constants for op in inner if "CONV" in op.name} == {("int32", "int8")}  # bias, weights


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_onnx_files_hold_nothing_but_their_operators(exported: tuple[str, Path], variant: str) -> None:
    name, folder = exported
    others = {"Clip"} if variant == "fp32" else {"QuantizeLinear", "DequantizeLinear"}
    for scale in NETS[name][1]:
        tflite, onnx = (
            Counter(op.name for op in inventory.operators(folder / f"{variant}_x{scale}.{suffix}"))
            for suffix in ("tflite", "onnx")
        )
        mirrored = tflite["MIRROR_PAD"]
        assert set(onnx) <= {"Conv", "Relu", "Add", "Concat", "DepthToSpace", "Slice"} | others
        assert onnx["Conv"] == tflite["CONV_2D"] + tflite["DEPTHWISE_CONV_2D"]
        assert (onnx["Add"], onnx["DepthToSpace"]) == (tflite["ADD"], tflite["DEPTH_TO_SPACE"])
        assert (onnx["Slice"], onnx["Concat"]) == (4 * mirrored, tflite["CONCATENATION"] + 2 * mirrored)


def test_float_files_give_the_image_of_torch(upscaled: dict[str, list[Images]]) -> None:
    for images in upscaled["fp32"]:
        assert images.torch.std() > 10
        for image in images.files.values():
            assert_close(image, images.torch, levels=1, decibels=70)


def test_int8_files_give_the_image_of_the_converted_net(upscaled: dict[str, list[Images]]) -> None:
    for images in upscaled["ptq"]:
        for image in images.files.values():
            assert_close(image, images.torch, levels=3, decibels=50)
        assert_close(images.files[".xml"], images.files[".onnx"], levels=3, decibels=50)


def test_int8_is_close_to_float(upscaled: dict[str, list[Images]]) -> None:
    for exact, rounded in zip(upscaled["fp32"], upscaled["ptq"], strict=True):
        assert_close(rounded.torch, exact.torch, levels=20, decibels=44)


@pytest.mark.parametrize("exported", ["carn_m"], indirect=True)
def test_weights_that_are_used_again_are_stored_once(exported: tuple[str, Path]) -> None:
    """CARN-M uses each of its residual units three times."""
    name, folder = exported
    stored = 4 * sum(parameter.numel() for parameter in trained(name).parameters())
    for file in ("fp32_x2.tflite", "fp32_x2.onnx"):
        assert stored < (folder / file).stat().st_size < 1.1 * stored
    assert (folder / "ptq_x2.tflite").stat().st_size < 0.4 * stored


@pytest.mark.parametrize("residual", ["nearest", "bilinear"])
def test_an_operator_without_a_counterpart_is_named(residual: str) -> None:
    """TFLite's resizes take the size of their output, so that no file of any size could hold them."""
    net = build("abpn", [2], {"residual": residual})
    with pytest.raises(UserError, match=rf"no exported file has the operator aten\.upsample_{residual}2d"):
        operations.read(fold(net).at_scale(2))
