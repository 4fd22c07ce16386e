"""Int8 files give the same image on every CPU, even without VNNI, where sums of two products saturate in 16 bits."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import SIZE, export, facts, lr_images
from small_net import images, prepared, trained

from pipeline_src import exporting
from pipeline_src.compression import calibration, quantization
from pipeline_src.compression.quantization import quantizer
from pipeline_src.compression.quantization.rounding import InputStatistics
from pipeline_src.deployment import cards, reference, runtimes
from pipeline_src.deployment.formats import onnx, openvino
from pipeline_src.graph.saturation import LARGEST_SUM, LARGEST_WEIGHT, largest_pair

# A program in which oneDNN, the library of OpenVINO's kernels, uses neither AVX-512 nor VNNI.
WITHOUT_VNNI = """
import sys
from pathlib import Path
import numpy as np
from pipeline_src.deployment import runtimes
for file in map(Path, sys.argv[2:]):
    np.save(file.with_suffix(".npy"), runtimes.load(file, 1)(np.load(sys.argv[1])))
"""


def upscaled_without_vnni(files: list[Path]) -> dict[Path, np.ndarray]:
    """Return the first of ``lr_images`` as OpenVINO files upscale it on a CPU without VNNI."""
    lr = files[0].parent / "lr.npy"
    np.save(lr, next(lr_images()))
    subprocess.run(
        [sys.executable, "-c", WITHOUT_VNNI, str(lr), *map(str, files)],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        check=True,
    )
    return {file: np.load(file.with_suffix(".npy")) for file in files}


def int8_weights(file: Path) -> Iterator[np.ndarray]:
    """Yield the int8 weights of each convolution in a file, with output channels as the first axis."""
    if file.suffix == ".onnx":
        from onnx import load, numpy_helper

        yield from (
            values
            for values in map(numpy_helper.to_array, load(file).graph.initializer)
            if values.dtype == np.int8 and values.ndim == 4
        )
    elif file.suffix == ".xml":
        for op in openvino.library().Core().read_model(file).get_ordered_ops():
            if op.get_type_name() == "Constant" and op.get_element_type().to_string() == "i8" and len(op.shape) >= 4:
                values = op.get_data()
                yield values.reshape(-1, *values.shape[len(op.shape) - 3 :])  # grouped ones are G×O/G×I×H×W
    else:
        from ai_edge_litert.tools import flatbuffer_utils

        model = flatbuffer_utils.convert_bytearray_to_object(file.read_bytes())
        (graph,) = model.subgraphs
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(tensor.shape) == 4 and flatbuffer_utils.type_to_name(tensor.type) == "INT8":
                values = np.asarray(data, np.uint8).view(np.int8).reshape(tensor.shape)
                yield values.transpose(3, 0, 1, 2) if tensor.quantization.quantizedDimension == 3 else values


def largest_sum_in(file: Path) -> int:
    weights = list(int8_weights(file))
    assert len(weights) >= 5, f"{file} holds {len(weights)} int8 convolutions"
    return max(255 * int(largest_pair(torch.tensor(values.copy())).max()) for values in weights)


def assert_no_file_saturates(folder: Path) -> None:
    files = [file for file in cards.read_folder(folder) if file.name.startswith("ptq")]
    assert {file.suffix for file in files} == {".onnx", ".xml", ".tflite"}
    for file in files:
        largest = largest_sum_in(file)
        assert 0 < largest <= LARGEST_SUM, file
        assert cards.read(file).largest_sum == largest
        assert ("no session option x64quantprecision" in cards.read(file).example) == (file.suffix == ".onnx")
    assert cards.read(folder / files[0].name.replace("ptq", "fp32")).largest_sum == 0


def test_no_sum_of_products_saturates_in_any_file(exported: tuple[str, Path]) -> None:
    _, folder = exported
    assert_no_file_saturates(folder)


def test_no_sum_of_products_saturates_in_the_files_of_abpn(tmp_path: Path) -> None:
    export("abpn", tmp_path, SIZE)
    assert_no_file_saturates(tmp_path)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 has CPUs that saturate")
def test_openvino_gives_the_same_image_without_vnni_and_agrees_with_tflite(
    exported: tuple[str, Path],
) -> None:
    name, folder = exported
    files = [
        file for file, card in cards.read_folder(folder).items() if file.suffix == ".xml" and card.variant == "ptq"
    ]
    lr = next(lr_images())
    for file, sr in upscaled_without_vnni(files).items():
        here = reference.compare(sr, runtimes.load(file, 1)(lr))
        assert (here.levels <= 1, here.within_one) == (True, 1.0), file
        agreement = reference.compare(sr, runtimes.load(file.with_suffix(".tflite"), 1)(lr))
        assert agreement.levels <= 3, file
        # EDSR carries its image in steps of 1.4 levels, so a sum that is rounded once less is off by more than a level.
        assert agreement.within_one >= (0.985 if name == "edsr" else 0.999), file


@pytest.fixture
def saturating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """Export EDSR with int8 weights in all of −127..127, as in most int8 nets, which saturate without VNNI."""
    monkeypatch.setattr(quantizer, "smallest_step", lambda weights: weights.flatten(1).abs().amax(1) / LARGEST_WEIGHT)
    monkeypatch.setattr(InputStatistics, "round_weights", lambda statistics: None)
    graphs = prepared(trained("edsr"))
    calibration.calibrate(graphs, {2: images()})
    exporting.export(quantization.convert(graphs).at_scale(2), tmp_path, "ptq_x2", SIZE, facts(scale=2))
    assert "ptq_x2: its int8 weights saturate on CPUs without VNNI; quantise it again" in caplog.text
    return tmp_path / "ptq_x2.onnx"


def test_a_file_that_saturates_runs_in_exact_mode_in_the_runner_and_in_the_example(
    saturating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert largest_sum_in(saturating) == cards.read(saturating).largest_sum > LARGEST_SUM
    assert 'add_session_config_entry("session.x64quantprecision", "1")' in cards.read(saturating).example
    options: list[Any] = []
    session = onnx.library().InferenceSession
    monkeypatch.setattr(
        onnx.library(), "InferenceSession", lambda *args, **how: options.append(args[1]) or session(*args, **how)
    )
    lr = next(lr_images())
    sr = runtimes.load(saturating, 1)(lr)
    assert options[0].get_session_config_entry("session.x64quantprecision") == "1"
    assert reference.compare(sr, runtimes.load(saturating.with_suffix(".tflite"), 1)(lr)).agrees


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 has CPUs that saturate")
def test_a_file_that_saturates_gives_another_image_without_vnni(saturating: Path) -> None:
    """This proves that the tests above can fail."""
    file = saturating.with_suffix(".xml")
    sr = upscaled_without_vnni([file])[file]
    agreement = reference.compare(sr, runtimes.load(saturating.with_suffix(".tflite"), 1)(next(lr_images())))
    assert not agreement.agrees
    assert agreement.levels > 3
