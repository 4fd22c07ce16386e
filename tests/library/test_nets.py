"""How a net is opened: by its kind, and by what the user asks for."""

import logging
from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize
from pipeline_src.library.nets import Running, resolve

LR = photograph("chelsea.png")[100:140, 80:130]


def test_no_name_is_the_best_bundled_net_of_each_scale(shelf: Path) -> None:
    net = resolve(None, Running(threads=1))
    assert net.scales == (2, 3, 4)
    assert net.default_scale() == 4
    assert np.array_equal(net.open(3)(LR), resolve("good", Running(threads=1)).open(3)(LR))


def test_a_bundled_net_runs_in_torch_and_in_other_runtimes_from_the_users_cache(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_torch = resolve("good", Running(threads=1)).open(3)(LR)
    assert not (shelf.parent / "cache").exists()
    for runtime in ("onnx", "openvino_fp16"):
        sr = resolve("good", Running(runtime, threads=1)).open(3)(LR)
        assert abs(sr.astype(int) - in_torch).max() <= 3
    said = capsys.readouterr().err
    assert said.count("exporting good ×3 (fp32) once, to ") == 2
    resolve("good", Running("onnx", threads=1)).open(3)
    assert capsys.readouterr().err == ""


def test_int8_of_a_bundled_net_is_calibrated_on_photographs_and_runs_in_tflite(shelf: Path) -> None:
    runner = resolve("good", Running(variant="ptq", threads=1)).open(3)
    assert [file.name for file in (shelf.parent / "cache").rglob("*.tflite")] == ["ptq_x3.tflite"]
    in_torch = resolve("good", Running(threads=1)).open(3)(LR)
    assert np.square(runner(LR).astype(float) - in_torch).mean() < 4


def test_the_cache_may_be_unwritable(shelf: Path) -> None:
    (shelf.parent / "cache").write_text("a file where the folder would be")
    assert resolve("good", Running("onnx", threads=1)).open(3)(LR).shape == (120, 150, 3)


def test_a_net_of_a_run_runs_its_exported_file(a_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        runner = resolve("good", Running(threads=1)).open(3)
    assert [record.getMessage() for record in caplog.records] == [
        "good ×3 is 0.30 dB below bicubic, so its images are worse than without a net; train it longer, or choose "
        "another --model (`superres models` lists them)"
    ]
    in_torch = resolve("good", Running("torch", threads=1)).open(3)(LR)
    assert abs(runner(LR).astype(int) - in_torch).max() <= 1
    with pytest.raises(UserError, match=r"fp32_x3\.tflite does not exist"):
        resolve("good", Running("tflite")).open(3)


@pytest.mark.parametrize(
    ("model", "warns"),
    [
        ("bad", True),
        ("bundled:good", False),
        ("new", False),
        ("results/export/good/fp32_x3.onnx", True),
        ("results/nets/good/weights.safetensors", True),
    ],
)
def test_a_net_below_bicubic_is_not_used_in_silence(
    a_run: Path, caplog: pytest.LogCaptureFixture, model: str, warns: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        resolve(model, Running(threads=1)).open(3)
    assert ["below bicubic" in record.getMessage() for record in caplog.records] == [True] * warns


@pytest.mark.parametrize(
    ("model", "running", "sentence"),
    [
        ("good", Running("openvino_fp16", "ptq"), "openvino_fp16 is made of fp32 alone, not of ptq"),
        (
            "bundled:good",
            Running("onnx", "qat"),
            "good is bundled in fp32, .*qat needs a training: choose --variant ptq",
        ),
        ("good", Running("onnx", "qat"), "good has no qat yet; run `dvc repro quantize@good`"),
        ("good", Running("torch", "qat"), "torch runs the variant fp32 only"),
        ("super", Running("onnx"), "super is a supernet, .*--runtime torch for its largest net"),
        ("missing.safetensors", Running(), r"missing\.safetensors does not exist"),
        ("missing.onnx", Running(), r"missing\.onnx does not exist; correct its name"),
        ("bicubic", Running("tflite"), "bicubic is no net, and has no runtime, variant or device; leave these"),
        ("bicubic", Running(variant="fp32"), "bicubic is no net, and has no runtime, variant or device"),
        ("bicubic", Running(device="cuda"), "bicubic is no net, and has no runtime, variant or device"),
        (
            "results/export/good/fp32_x3.onnx",
            Running("tflite"),
            r"fp32_x3\.onnx is a file of onnx, not of tflite; leave",
        ),
        ("results/export/good/fp32_x3.onnx", Running(variant="ptq"), "is a file of fp32, not of ptq; leave --variant"),
        ("results/nets/good/weights.safetensors", Running("onnx"), "is a file of torch, not of onnx; leave --runtime"),
        ("results/nets/good/weights.safetensors", Running(variant="qat"), "is a file of fp32, not of qat"),
        ("photo.png", Running(), r"photo\.png is no model file"),
    ],
)
def test_what_is_never_made_is_refused_as_such(a_run: Path, model: str, running: Running, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolve(model, running).default_scale()


def test_options_that_say_what_a_file_is_are_accepted(a_run: Path) -> None:
    assert resolve("results/export/good/fp32_x3.onnx", Running("onnx", "fp32")).scales == [3]
    assert resolve("results/nets/good/weights.safetensors", Running("torch", "fp32")).scales == [3]


def test_a_net_of_several_scales_upscales_by_4_where_it_can(shelf: Path) -> None:
    assert resolve("super", Running()).default_scale() == 4
    assert resolve(str(shelf / "super.safetensors"), Running()).default_scale() == 4
    assert resolve("good", Running()).default_scale() == 3
    assert resolve("super", Running(threads=1)).open(2)(LR).shape == (80, 100, 3)


def test_bicubic_is_the_one_of_matlab() -> None:
    runner = resolve("bicubic", Running(threads=1)).open(3)
    assert np.array_equal(runner(LR), imresize(LR, 3))
