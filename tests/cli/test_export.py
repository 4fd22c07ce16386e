"""The command ``superres export``."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import photograph

from pipeline_src.cli.main import main
from pipeline_src.deployment import cards, runtimes

LR = photograph("chelsea.png")[100:124, 80:112]


def export(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as end:
        main(["export", *arguments])
    streams = capsys.readouterr()
    assert end.value.code == status, streams.err
    return streams.err if status else streams.out


@pytest.mark.parametrize(
    ("arguments", "name", "size", "dtype"),
    [
        (("--format", "tflite"), "good_fp32_x3.tflite", None, "float32"),
        (("--format", "tflite", "--dynamic", "--variant", "ptq"), "good_ptq_x3.tflite", None, "uint8"),
        (("--format", "tflite", "--size", "24x32", "--variant", "ptq"), "good_ptq_x3_24x32.tflite", (24, 32), "int8"),
        (("--format", "onnx", "--size", "24x32"), "good_fp32_x3_24x32.onnx", (24, 32), "float32"),
        (("--format", "openvino", "--size", "24x32"), "good_fp32_x3_24x32.xml", (24, 32), "float32"),
        (("--format", "tensorrt", "--variant", "ptq"), "good_ptq_x3_tensorrt.onnx", None, "float32"),
    ],
)
def test_one_file_with_its_card(
    shelf: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    name: str,
    size: list[int] | None,
    dtype: str,
) -> None:
    out = export(capsys, "--model", "good", *arguments)
    assert out == f"{name}, and its card {name}.json\n"
    assert {path.name.removesuffix(".bin") for path in Path().iterdir()} >= {name, f"{name}.json"}
    card = cards.read(Path(name))
    assert (card.system, card.scale, card.size, card.input.dtype) == ("good", 3, size, dtype)
    assert card.variant == ("ptq" if "ptq" in arguments else "fp32")
    assert card.validation == {"over_bicubic": 1.0}
    sr = runtimes.load(Path(name), 1)(LR)
    in_torch = runtimes.load(shelf / "good.safetensors", 1)(LR)
    assert np.square(sr.astype(float) - in_torch).mean() < 6


def test_calibration_on_the_users_images_gives_another_net(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dark").mkdir()
    Image.fromarray(LR // 4).save("dark/one.png")
    for name, more in (("samples", ()), ("own", ("--calibrate", "dark"))):
        export(capsys, *("--model", "good", "--format", "onnx", "--variant", "ptq", "-o", f"{name}.onnx"), *more)
    assert Path("samples.onnx").read_bytes() != Path("own.onnx").read_bytes()


def test_a_calibration_says_that_it_takes_a_while(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--model", "good", "--format", "onnx", "--variant", "ptq"])
    assert "calibrating good ×3 on 5 images" in capsys.readouterr().err


def test_a_net_of_a_run_is_exported_from_its_weights(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(capsys, "--model", "good", "--format", "tflite", "-o", "net.tflite")
    card = cards.read(Path("net.tflite"))
    assert (card.origin, card.validation) == ("trained here", {"over_bicubic": -0.3})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--format", "onnx", "-o", "net.tflite"), "net.tflite must end in .onnx, as files of the format onnx do"),
        (("--format", "onnx", "-o", "."), ". is a folder; name a file that ends in .onnx by --output"),
        (("--format", "onnx", "-o", "/dev/null/a.onnx"), "/dev/null is a file, so /dev/null/a.onnx cannot be in it"),
        (("--format", "tensorrt"), "tensorrt is made of ptq and qat alone, not of fp32; add --variant ptq"),
        (("--format", "openvino_fp16", "--variant", "ptq"), "openvino_fp16 is made of fp32 alone, not of ptq"),
        (("--format", "onnx", "--variant", "qat"), "good is bundled in fp32, from which ptq is made; qat needs"),
        (("--format", "onnx", "--calibrate", "x"), "--calibrate is for the ptq of a bundled net; leave it out"),
        (("--format", "onnx", "--scale", "4"), "good upscales ×3, not ×4; choose another --scale"),
    ],
)
def test_a_mistake_is_one_sentence(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    message = export(capsys, "--model", "good", *arguments, status=1)
    assert message.startswith(f"error: {sentence}")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("name", "suffix"), [("onnx", ".onnx"), ("tflite", ".tflite"), ("openvino", ".xml")])
def test_the_folder_of_the_file_is_made(
    shelf: Path, capsys: pytest.CaptureFixture[str], name: str, suffix: str
) -> None:
    export(capsys, "--model", "good", "--format", name, "-o", f"new/deep/net{suffix}")
    assert cards.read(Path(f"new/deep/net{suffix}")).format == name


@pytest.mark.parametrize("size", ["270", "7x9", "0x0", "270x480x3", "a x b", "100000x100000"])
def test_a_size_is_height_and_width(capsys: pytest.CaptureFixture[str], size: str) -> None:
    message = export(capsys, "--model", "good", "--format", "onnx", "--size", size, status=2)
    assert f"{size} is no height and width from 8 to 99999 each, such as 270x480" in message


def test_a_failed_export_keeps_the_file_that_was_there(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    export(capsys, "--model", "good", "--format", "onnx", "-o", "n.onnx")
    before = {file.name: file.read_bytes() for file in Path().iterdir()}
    monkeypatch.setattr(cards, "write", fail)
    said = export(capsys, "--model", "good", "--format", "onnx", "-o", "n.onnx", status=1)
    assert said.startswith("error: n.onnx: the disk is full; free some space")
    assert {file.name: file.read_bytes() for file in Path().iterdir()} == before
