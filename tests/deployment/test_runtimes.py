"""Runtimes: they give the image of torch at every size, and errors that name the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import assert_close, by_torch, lr_images
from PIL import Image
from shared import photograph
from small_net import trained_net

from pipeline_src.cli.images import jobs
from pipeline_src.deployment import cards, runtimes
from pipeline_src.deployment.formats import format_of, onnx
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.library.nets import Running, resolve
from pipeline_src.library.upscaler import Tiling, Upscaler
from pipeline_src.upscaling.batch import Resizing, run_batch

SUFFIXES = [".onnx", ".xml", ".tflite"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".safetensors"])
def test_float_files_give_the_image_of_torch(folder: Path, suffix: str) -> None:
    runner = runtimes.load(folder / ("weights.safetensors" if suffix == ".safetensors" else f"fp32_x3{suffix}"), 2)
    assert runner.scale == 3
    for lr in lr_images():
        assert_close(runner(lr), by_torch(trained_net(), lr), levels=1, decibels=70)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_int8_files_give_the_image_of_the_converted_net(folder: Path, converted: Any, suffix: str) -> None:
    runner = runtimes.load(folder / f"ptq_x3{suffix}", 2)
    for lr in lr_images():
        assert_close(runner(lr), by_torch(converted, lr), levels=3, decibels=50)


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
def test_openvino_gives_the_image_of_onnx_runtime(folder: Path, variant: str) -> None:
    openvino, onnx = (runtimes.load(folder / f"{variant}_x3{suffix}", 2) for suffix in (".xml", ".onnx"))
    for lr in lr_images():
        assert_close(openvino(lr), onnx(lr), levels=3 if variant == "ptq" else 1, decibels=50)


def test_upscaling_the_next_image_does_not_change_the_previous_one(folder: Path) -> None:
    first, second, _ = lr_images()
    for file in [*sorted(folder.glob("*_x3.*[!n]")), folder / "weights.safetensors"]:
        if file.suffix not in (*SUFFIXES, ".safetensors"):
            continue
        runner = runtimes.load(file, 1)
        image = runner(first)
        before = image.copy()
        runner(second)
        assert np.array_equal(image, before), file


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_error_for_a_file_that_its_runtime_cannot_open_names_it(folder_copy: Path, suffix: str) -> None:
    """The file is noise with a matching card, so that the runtime itself has to refuse it."""
    file = folder_copy / f"ptq_x3{suffix}"
    file.write_bytes(b"no model " * 99)
    facts = json.loads(cards.path_of(file).read_text())
    facts["files"] = {part.name: sha256(part) for part in format_of(file).parts(file)}
    cards.path_of(file).write_text(json.dumps(facts))
    with pytest.raises(UserError, match=rf"cannot open .*ptq_x3\{suffix}"):
        runtimes.load(file, 1)


def test_the_errors_for_a_missing_card_and_an_unknown_suffix_name_the_file(folder_copy: Path) -> None:
    cards.path_of(folder_copy / "ptq_x3.onnx").unlink()
    with pytest.raises(UserError, match=r"ptq_x3\.onnx has no card"):
        runtimes.load(folder_copy / "ptq_x3.onnx", 1)
    with pytest.raises(UserError, match=r"photo\.png is no model file"):
        runtimes.load(folder_copy / "photo.png", 1)


@pytest.mark.parametrize("name", ["fp32_x3.onnx", "weights.safetensors"])
def test_the_error_for_a_missing_scale_names_the_scales_of_the_file(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} upscales ×3, not ×2; choose another --scale"):
        runtimes.load(folder / name, 1, scale=2)
    assert runtimes.load(folder / name, 1, scale=3).scale == 3


@pytest.mark.parametrize("variant", ["fp32", "ptq"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (37, 51), (90, 33)])
def test_the_upscale_command_runs_every_file_at_every_size(
    folder: Path, tmp_path: Path, variant: str, suffix: str, size: tuple[int, int]
) -> None:
    lr = photograph("chelsea.png")[100 : 100 + size[0], 80 : 80 + size[1]]
    Image.fromarray(lr).save(tmp_path / "lr.png")
    file = folder / f"{variant}_x3{suffix}"
    upscaler = Upscaler(resolve(str(file), Running(threads=2)), tiling=Tiling(tile=48, overlap=24))
    run_batch(jobs([tmp_path / "lr.png"], tmp_path / "sr.png"), Resizing(upscaler.plan), "upscale")
    untiled = runtimes.load(file, 2)(np.ascontiguousarray(lr))
    sr = np.asarray(Image.open(tmp_path / "sr.png")).astype(int)
    assert sr.shape == (size[0] * 3, size[1] * 3, 3)
    assert abs(sr - untiled).max() <= 1


@pytest.mark.parametrize("name", ["fp32_x3_360x640.tflite", "ptq_x3_360x640.tflite"])
def test_a_file_of_one_size_takes_smaller_images(folder: Path, name: str) -> None:
    runner, any_size = runtimes.load(folder / name, 1), runtimes.load(folder / name.replace("_360x640", ""), 1)
    assert runner.size == (360, 640)
    lr = photograph("chelsea.png")[:60, :100]
    sr = runner(lr)
    assert sr.shape == (180, 300, 3)
    assert_close(sr[:120, :240], any_size(lr)[:120, :240], levels=1, decibels=60)  # beyond it sees the mirrored border


@pytest.mark.parametrize("name", ["fp32_x3.onnx", "fp32_x3.xml", "fp32_x3.tflite", "weights.safetensors"])
def test_values_are_the_image_before_it_is_rounded(folder: Path, name: str) -> None:
    runner, lr = runtimes.load(folder / name, 1), next(lr_images())
    values = runner.values(lr)
    assert values.dtype == np.float32
    assert (values % 1 != 0).mean() > 0.5
    assert np.array_equal(np.rint(values.clip(0, 255)).astype(np.uint8), runner(lr))


@pytest.mark.parametrize("name", ["ptq_x3.onnx", "ptq_x3.tflite", "ptq_x3_360x640.tflite"])
def test_values_of_an_int8_file_are_those_of_its_image(folder: Path, name: str) -> None:
    runner, lr = runtimes.load(folder / name, 1), next(lr_images())
    assert np.array_equal(runner.values(lr), runner(lr))


@pytest.mark.parametrize(
    ("name", "device", "sentence"),
    [
        ("fp32_x3.onnx", "cuda", "ONNX Runtime has no device cuda here, but .*cpu"),
        ("fp32_x3.onnx", "nonsense", "ONNX Runtime has no device nonsense here"),
        ("fp32_x3.xml", "cuda", "OpenVINO runs on the CPU alone here, not on cuda; choose --device cpu"),
        ("fp32_x3.tflite", "mps", "TFLite runs on the CPU alone here, not on mps; choose --device cpu"),
        ("weights.safetensors", "mps:1", "torch sees no device mps:1 here; choose --device cpu"),
        ("weights.safetensors", "cuda:99", "torch sees no device cuda:99 here; choose --device cpu"),
        ("weights.safetensors", "tpu", "torch has no device tpu; choose --device cpu, cuda or mps"),
        ("weights.safetensors", "cuda:first", "torch has no device cuda:first; choose --device cpu, cuda or mps"),
    ],
)
def test_a_device_that_is_not_there_is_a_user_error(folder: Path, name: str, device: str, sentence: str) -> None:
    if name.endswith(".onnx") and "CUDAExecutionProvider" in onnx.library().get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(UserError, match=sentence):
        runtimes.load(folder / name, 1, device=device)


def test_onnx_runtime_takes_its_execution_provider_by_name(folder: Path) -> None:
    assert onnx.provider_of("CPU") == "CPUExecutionProvider"
    lr = next(lr_images())
    by_name, plain = (runtimes.load(folder / "fp32_x3.onnx", 1, **kind)(lr) for kind in ({"device": "cpu"}, {}))
    assert np.array_equal(by_name, plain)
