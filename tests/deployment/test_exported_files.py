"""The exported files: what is in them, and that every runtime gives the image that torch gives."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared import photograph
from small_net import calibrated, cascade, tensor, trained_net

from pipeline_src.deployment import cards, exporting, inventory, openvino, runtimes, tflite
from pipeline_src.errors import UserError
from pipeline_src.evaluation.complexity import mult_adds, parameters
from pipeline_src.training.weights import save_net

SIZE = (360, 640)
FORMATS = [".onnx", ".xml", ".tflite"]
FLOAT_OPS = {"CONV_2D", "CONCATENATION", "ADD", "MINIMUM", "MAXIMUM", "RELU", "DEPTH_TO_SPACE"}
INT8_OPS = {"CONV_2D", "CONCATENATION", "ADD", "DEPTH_TO_SPACE"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fp32 and ptq of the small net, as the stage export writes them, and the weights."""
    import torch

    torch.set_num_threads(2)
    folder, net = tmp_path_factory.mktemp("export"), trained_net()
    exporting.export_float(net, folder, "fp32_x3", SIZE)
    exporting.export_int8(calibrated(net), folder, "ptq_x3", SIZE)
    for variant in ("fp32", "ptq"):
        exporting.write_cards(
            folder,
            f"{variant}_x3",
            SIZE,
            system="small",
            model="abpn",
            variant=variant,
            scale=3,
            colour="RGB",
            takes="LR",
            multiple=1,
            parameters=parameters(net),
            mult_adds=mult_adds(net, 3),
            weights={"weights.safetensors": "0" * 64},
        )
    save_net(folder / "weights.safetensors", net, {"model": "abpn", "scales": [3], "net": {"channels": 12, "depth": 2}})
    return folder


@pytest.fixture(scope="module")
def converted() -> Any:
    from pipeline_src.compression.quantization import convert

    return convert(calibrated(trained_net()), fold=False)


@pytest.fixture
def apart(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder to damage."""
    return Path(shutil.copytree(folder, tmp_path / "export"))


def lr_images() -> Iterator[np.ndarray]:
    pixels = photograph("rocket.jpg")
    for y, x, height, width in ((50, 250, 64, 96), (120, 300, 37, 51), (200, 200, 51, 37)):
        yield np.ascontiguousarray(pixels[y : y + height, x : x + width])


def by_torch(net: Any, lr: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return net(tensor(lr))[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()


def assert_close(one: np.ndarray, other: np.ndarray, levels: int, decibels: float) -> None:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.uint8
    difference = one.astype(float) - other
    assert abs(difference).max() <= levels
    assert 10 * np.log10(255**2 / max((difference**2).mean(), 1e-10)) >= decibels


# --- what is in the files


@pytest.mark.parametrize("name", ["fp32_x3.tflite", "fp32_x3_360x640.tflite"])
def test_float_tflite_holds_nothing_but_its_operators(folder: Path, name: str) -> None:
    operators = inventory.operators(folder / name)
    names = [op.name for op in operators]
    assert set(names) <= FLOAT_OPS
    assert {n: names.count(n) for n in ("CONV_2D", "CONCATENATION", "ADD", "DEPTH_TO_SPACE")} == {
        "CONV_2D": 5,
        "CONCATENATION": 1,
        "ADD": 1,
        "DEPTH_TO_SPACE": 1,
    }
    assert {dtype for op in operators for dtype in op.activations + op.constants} == {"float32"}


@pytest.mark.parametrize("name", ["ptq_x3.tflite", "ptq_x3_360x640.tflite"])
def test_int8_tflite_is_int8_from_border_to_border(folder: Path, name: str) -> None:
    first, *inner, last = inventory.operators(folder / name)
    assert first == last == inventory.Operator("QUANTIZE", ("int8", "uint8"), ())
    names = [op.name for op in inner]
    assert {n: names.count(n) for n in names} == {"CONV_2D": 5, "CONCATENATION": 1, "ADD": 1, "DEPTH_TO_SPACE": 1}
    assert {op.activations for op in inner} == {("int8",)}
    assert {op.constants for op in inner if op.name == "CONV_2D"} == {("int32", "int8")}  # bias, weights


def test_a_net_of_grouped_convolutions_sums_and_concatenations_is_clean_too() -> None:
    from pipeline_src.compression.quantization import convert

    model = tflite.parse(tflite.export_int8(convert(calibrated(cascade()), fold=False), (24, 32)))
    from ai_edge_litert import schema_py_generated as schema

    codes = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    (graph,) = model.subgraphs
    names = [codes[model.operatorCodes[op.opcodeIndex].builtinCode] for op in graph.operators]
    assert names[0] == names[-1] == "QUANTIZE"
    assert sorted(names[1:-1]) == ["ADD", "CONCATENATION", *["CONV_2D"] * 5, "DEPTH_TO_SPACE"]
    inner = [graph.tensors[index] for op in graph.operators[:-1] for index in op.outputs]
    assert {tensor.type for tensor in inner} == {schema.TensorType.INT8}


def test_onnx_int8_is_qdq_with_uint8_activations_and_int8_weights(folder: Path) -> None:
    import onnx

    operators = inventory.operators(folder / "ptq_x3.onnx")
    quantize = [op for op in operators if op.name == "QuantizeLinear"]
    assert quantize
    assert {op.activations for op in quantize} == {("float32", "uint8")}
    assert {op.constants for op in operators if op.name == "DequantizeLinear"} == {
        ("float32", "uint8"),
        ("float32", "int8"),
    }
    graph = onnx.load(folder / "ptq_x3.onnx").graph
    assert {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)} == {onnx.TensorProto.UINT8}
    (upscale,) = (node for node in graph.node if node.op_type == "DepthToSpace")
    assert {a.name: onnx.helper.get_attribute_value(a) for a in upscale.attribute}["mode"] == b"DCR"


def test_openvino_float_keeps_32_bits(folder: Path) -> None:
    operators = inventory.operators(folder / "fp32_x3.xml")
    assert {d for op in operators for d in op.activations + op.constants} <= {"float32", "int64"}
    assert sum(op.name == "Convolution" for op in operators) == 5


def test_inventory_counts(folder: Path) -> None:
    rows = inventory.rows(folder / "ptq_x3.tflite")
    assert {"file": "ptq_x3.tflite", "op": "ADD", "count": 1, "activations": "int8", "constants": ""} in rows
    assert sum(int(str(row["count"])) for row in rows) == len(inventory.operators(folder / "ptq_x3.tflite"))


@pytest.mark.parametrize(("variant", "dtype"), [("fp32", np.float32), ("ptq", np.uint8)])
def test_tflite_borders_are_as_the_card_says(folder: Path, variant: str, dtype: type) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for name, signature in ((f"{variant}_x3", [1, -1, -1, 3]), (f"{variant}_x3_360x640", [1, 360, 640, 3])):
        card = cards.read(folder / f"{name}.tflite")
        interpreter = Interpreter(model_path=str(folder / f"{name}.tflite"))
        ends = (card.input, interpreter.get_input_details()), (card.output, interpreter.get_output_details())
        for end, details in ends:
            assert details[0]["dtype"] == dtype == np.dtype(end.dtype)
            if dtype == np.uint8:
                assert details[0]["quantization"] == (end.scale, end.zero_point) == (1.0, 0)
        assert list(interpreter.get_input_details()[0]["shape_signature"]) == signature
        assert card.size == (None if -1 in signature else [360, 640])


# --- what they compute


@pytest.mark.parametrize("suffix", [*FORMATS, ".safetensors"])
def test_float_files_give_the_image_of_torch(folder: Path, suffix: str) -> None:
    runner = runtimes.load(folder / ("weights.safetensors" if suffix == ".safetensors" else f"fp32_x3{suffix}"), 2)
    assert runner.scale == 3
    for lr in lr_images():
        assert_close(runner(lr), by_torch(trained_net(), lr), levels=1, decibels=70)


@pytest.mark.parametrize("suffix", FORMATS)
def test_int8_files_give_the_image_of_the_converted_net(folder: Path, converted: Any, suffix: str) -> None:
    runner = runtimes.load(folder / f"ptq_x3{suffix}", 2)
    for lr in lr_images():
        assert_close(runner(lr), by_torch(converted, lr), levels=3, decibels=50)


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_openvino_gives_the_image_of_onnx_runtime(folder: Path, variant: str) -> None:
    one, other = (runtimes.load(folder / f"{variant}_x3{suffix}", 2) for suffix in (".xml", ".onnx"))
    for lr in lr_images():
        assert_close(one(lr), other(lr), levels=3 if variant == "ptq" else 1, decibels=50)


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_the_fixed_file_is_its_twin_of_any_size(folder: Path, variant: str) -> None:
    lr = np.ascontiguousarray(photograph("coffee.png")[:360, :600].repeat(2, axis=1)[:, :640])
    fixed, dynamic = (runtimes.load(folder / f"{variant}_x3{s}.tflite", 2) for s in ("_360x640", ""))
    assert_close(fixed(lr), dynamic(lr), levels=0, decibels=90)
    with pytest.raises(UserError, match="takes 360×640 pixels alone, not 64×96"):
        fixed(next(lr_images()))


def test_an_image_stays_what_it_was_when_the_next_is_upscaled(folder: Path) -> None:
    first, second, _ = lr_images()
    for file in [*sorted(folder.glob("*_x3.*[!n]")), folder / "weights.safetensors"]:
        if file.suffix not in (*FORMATS, ".safetensors"):
            continue
        runner = runtimes.load(file, 1)
        image = runner(first)
        before = image.copy()
        runner(second)
        assert np.array_equal(image, before), file


# --- cards and errors


def test_cards_of_a_folder(folder: Path) -> None:
    found = cards.of_folder(folder)
    assert len(found) == 8
    card = found[folder / "ptq_x3.xml"]
    assert set(card.files) == {"ptq_x3.xml", "ptq_x3.bin"}
    assert card.versions["openvino"]
    with pytest.raises(UserError, match="holds no exported file"):
        cards.of_folder(folder / "nothing")


@pytest.mark.parametrize("name", ["ptq_x3.tflite", "ptq_x3.onnx", "ptq_x3.xml", "ptq_x3.bin", "weights.safetensors"])
def test_a_truncated_file_is_named(apart: Path, name: str) -> None:
    damaged = apart / name
    damaged.write_bytes(damaged.read_bytes()[:-100])
    opened = damaged.with_suffix(".xml") if damaged.suffix == ".bin" else damaged
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        runtimes.load(opened, 1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_its_runtime_cannot_open_is_named(apart: Path, suffix: str) -> None:
    """Noise with a card that fits it: the runtime itself has to refuse it."""
    file = apart / f"ptq_x3{suffix}"
    file.write_bytes(b"no model " * 99)
    facts = json.loads(cards.path_of(file).read_text())
    facts["files"] = {part.name: cards.sha256(part) for part in cards.parts_of(file)}
    cards.path_of(file).write_text(json.dumps(facts))
    with pytest.raises(UserError, match=rf"cannot open .*ptq_x3\{suffix}"):
        runtimes.load(file, 1)


def test_a_model_that_openvino_cannot_compile_is_named_by_the_child(apart: Path) -> None:
    openvino.try_compile(apart / "ptq_x3.xml")
    (apart / "ptq_x3.xml").write_text("<net/>")
    with pytest.raises(UserError, match=r"OpenVINO cannot run .*ptq_x3\.xml"):
        openvino.try_compile(apart / "ptq_x3.xml")


def test_missing_cards_and_strange_suffixes_are_named(apart: Path) -> None:
    cards.path_of(apart / "ptq_x3.onnx").unlink()
    with pytest.raises(UserError, match=r"ptq_x3\.onnx has no card"):
        runtimes.load(apart / "ptq_x3.onnx", 1)
    with pytest.raises(UserError, match=r"photo\.png is no model file"):
        runtimes.load(apart / "photo.png", 1)


def test_uint8_border_and_any_size_leave_the_rest_alone(folder: Path) -> None:
    fixed, dynamic = (tflite.parse((folder / f"ptq_x3{s}.tflite").read_bytes()) for s in ("_360x640", ""))
    assert len(fixed.buffers) == len(dynamic.buffers)
    for one, other in zip(fixed.buffers, copy.deepcopy(dynamic.buffers), strict=True):
        assert (one.data is None) == (other.data is None)
        assert one.data is None or bytes(one.data) == bytes(other.data)


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (37, 51), (90, 33)])
def test_the_upscale_command_runs_every_file_at_every_size(
    folder: Path, tmp_path: Path, variant: str, suffix: str, size: tuple[int, int]
) -> None:
    from PIL import Image

    from pipeline_src.upscale import upscale_files

    lr = photograph("chelsea.png")[100 : 100 + size[0], 80 : 80 + size[1]]
    Image.fromarray(lr).save(tmp_path / "lr.png")
    file = folder / f"{variant}_x3{suffix}"
    upscale_files([tmp_path / "lr.png"], tmp_path / "sr.png", file, tile=48, overlap=24, threads=2)
    whole = runtimes.load(file, 2)(np.ascontiguousarray(lr))
    sr = np.asarray(Image.open(tmp_path / "sr.png")).astype(int)
    assert sr.shape == (size[0] * 3, size[1] * 3, 3)
    assert abs(sr - whole).max() <= 1
