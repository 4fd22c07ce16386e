"""The exported files: what is in them, and that every runtime gives the image that torch gives."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import assert_close, by_torch, export, lr_images
from PIL import Image
from shared import photograph
from small_net import calibrated, trained_net

from pipeline_src.compression import quantization
from pipeline_src.deployment import cards, inventory, openvino, runtimes, tflite
from pipeline_src.errors import UserError
from pipeline_src.training.weights import save_net

SIZE = (360, 640)
FORMATS = [".onnx", ".xml", ".tflite"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fp32 and ptq of the small ABPN, as the stage export writes them, and the weights."""
    folder, net = tmp_path_factory.mktemp("export"), trained_net()
    export("abpn", folder, SIZE)
    save_net(folder / "weights.safetensors", net, {"model": "abpn", "scales": [3], "net": {"channels": 12, "depth": 2}})
    return folder


@pytest.fixture(scope="module")
def converted() -> Any:
    return quantization.convert(calibrated(trained_net())).at_scale(3)


@pytest.fixture
def apart(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder to damage."""
    return Path(shutil.copytree(folder, tmp_path / "export"))


# --- what is in the files


@pytest.mark.parametrize("name", ["fp32_x3.tflite", "fp32_x3_360x640.tflite"])
def test_float_tflite_holds_nothing_but_its_operators(folder: Path, name: str) -> None:
    operators = inventory.operators(folder / name)
    names = [op.name for op in operators]
    assert {n: names.count(n) for n in names} == {"CONV_2D": 6, "ADD": 1, "MINIMUM": 1, "DEPTH_TO_SPACE": 1}
    assert {dtype for op in operators for dtype in op.activations + op.constants} == {"float32"}


@pytest.mark.parametrize("name", ["ptq_x3.tflite", "ptq_x3_360x640.tflite"])
def test_int8_tflite_is_int8_from_border_to_border(folder: Path, name: str) -> None:
    inner = inventory.operators(folder / name)
    if "360x640" not in name:
        first, *inner, last = inner
        assert first == last == inventory.Operator("QUANTIZE", ("int8", "uint8"), ())
    names = [op.name for op in inner]
    assert {n: names.count(n) for n in names} == {"CONV_2D": 6, "ADD": 1, "DEPTH_TO_SPACE": 1}
    assert {op.activations for op in inner} == {("int8",)}
    assert {op.constants for op in inner if op.name == "CONV_2D"} == {("int32", "int8")}  # bias, weights


def test_onnx_int8_is_qdq_with_uint8_activations_and_int8_weights(folder: Path) -> None:
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


def test_openvino_float_keeps_32_bits(folder: Path) -> None:
    operators = inventory.operators(folder / "fp32_x3.xml")
    assert {d for op in operators for d in op.activations + op.constants} <= {"float32", "int64"}
    assert sum(op.name == "Convolution" for op in operators) == 5


def test_openvino_with_halves_is_half_the_size_and_the_same_image_but_for_a_level(folder: Path) -> None:
    whole, halves = (folder / f"fp32_x3{name}.bin" for name in ("", "_fp16"))
    assert halves.stat().st_size < 0.55 * whole.stat().st_size
    constants = {d for op in inventory.operators(folder / "fp32_x3_fp16.xml") for d in op.constants}
    assert "float16" in constants
    lr = next(lr_images())
    one, other = (runtimes.load(file.with_suffix(".xml"), 1)(lr) for file in (whole, halves))
    assert_close(one, other, levels=1, decibels=55)


def test_inventory_counts(folder: Path) -> None:
    rows = inventory.rows(folder / "ptq_x3.tflite")
    assert {"file": "ptq_x3.tflite", "op": "ADD", "count": 1, "activations": "int8", "constants": ""} in rows
    assert sum(int(str(row["count"])) for row in rows) == len(inventory.operators(folder / "ptq_x3.tflite"))


@pytest.mark.parametrize(
    ("variant", "dtypes"), [("fp32", (np.float32, np.float32)), ("ptq", (np.uint8, np.int8))], ids=["fp32", "ptq"]
)
def test_tflite_borders_are_as_the_card_says(folder: Path, variant: str, dtypes: tuple[type, type]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for suffix, signature, dtype in zip(("", "_360x640"), ([1, -1, -1, 3], [1, 360, 640, 3]), dtypes, strict=True):
        name = f"{variant}_x3{suffix}"
        card = cards.read(folder / f"{name}.tflite")
        interpreter = Interpreter(model_path=str(folder / f"{name}.tflite"))
        ends = (card.input, interpreter.get_input_details()), (card.output, interpreter.get_output_details())
        for end, details in ends:
            assert details[0]["dtype"] == dtype == np.dtype(end.dtype)
            if dtype != np.float32:
                assert details[0]["quantization"] == (end.scale, end.zero_point) == (1.0, np.iinfo(dtype).min)
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
    assert len(found) == 9
    card = found[folder / "ptq_x3.xml"]
    assert set(card.files) == {"ptq_x3.xml", "ptq_x3.bin"}
    assert card.versions["openvino"]
    with pytest.raises(UserError, match="holds no exported file"):
        cards.of_folder(folder / "nothing")


def test_the_example_of_a_card_upscales_a_photograph(apart: Path) -> None:
    found = cards.of_folder(apart)
    assert len(found) == 9
    for file, card in found.items():
        lr = photograph("coffee.png")[:360, :480].repeat(2, axis=1)[:, :640] if card.size else next(lr_images())
        Image.fromarray(lr).save(apart / "photo.png")
        home = os.environ | {"HOME": str(apart / "home"), "XDG_CACHE_HOME": str(apart / "home")}
        home.pop("ORT_DISABLE_TELEMETRY", None)  # which this process has set for itself
        done = subprocess.run([sys.executable, "-c", card.example], cwd=apart, env=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not list(apart.rglob("*onnxruntime*")), "ONNX Runtime's telemetry leaves a database"
        assert_close(np.asarray(Image.open(apart / "large.png")), runtimes.load(file, 1)(lr), 1, 55)
        (apart / "large.png").unlink()


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
    assert openvino.try_compile(apart) == {}
    (apart / "a.xml").write_text("<net/>")
    (apart / "fp32_x3.bin").write_bytes(b"")
    failed = openvino.try_compile(apart)
    assert list(failed) == [apart / "a.xml", apart / "fp32_x3.xml"]
    assert failed[apart / "a.xml"].startswith("OpenVINO cannot run it: ")


def test_a_crash_is_told_from_an_error_and_the_other_files_are_tried(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that kills itself at one of the files stands for the compiler that has been seen to."""
    child = """
import os, sys
for name in sys.argv[3:]:
    print(name, flush=True)
    if name.endswith("fp32_x3.xml"):
        os.kill(os.getpid(), 11)
    if name.endswith("z.xml"):
        sys.exit("RuntimeError: no z")
"""
    (apart / "child.py").write_text(child)
    (apart / "z.xml").touch()
    monkeypatch.setattr(openvino, "__name__", "child")
    monkeypatch.setenv("PYTHONPATH", str(apart))
    assert openvino.try_compile(apart) == {
        apart / "fp32_x3.xml": "OpenVINO crashes on it (signal 11)",
        apart / "z.xml": "OpenVINO cannot run it: RuntimeError: no z",
    }


def test_missing_cards_and_strange_suffixes_are_named(apart: Path) -> None:
    cards.path_of(apart / "ptq_x3.onnx").unlink()
    with pytest.raises(UserError, match=r"ptq_x3\.onnx has no card"):
        runtimes.load(apart / "ptq_x3.onnx", 1)
    with pytest.raises(UserError, match=r"photo\.png is no model file"):
        runtimes.load(apart / "photo.png", 1)


@pytest.mark.parametrize("name", ["fp32_x3.onnx", "weights.safetensors"])
def test_a_scale_that_a_file_has_not_is_named(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} upscales ×3, not ×2; choose another --scale"):
        runtimes.load(folder / name, 1, scale=2)
    assert runtimes.load(folder / name, 1, scale=3).scale == 3


def test_uint8_border_and_any_size_leave_the_rest_alone(folder: Path) -> None:
    fixed, dynamic = (tflite.parse((folder / f"ptq_x3{s}.tflite").read_bytes()) for s in ("_360x640", ""))
    assert len(fixed.buffers) == len(dynamic.buffers)
    assert len(fixed.subgraphs[0].tensors) == len(dynamic.subgraphs[0].tensors) - 2  # the images in uint8
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
