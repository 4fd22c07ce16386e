"""The command ``superres downscale``, and back again with ``superres upscale``."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared import photograph

from pipeline_src import downscaling, paths
from pipeline_src.cli.main import main
from pipeline_src.deployment import cards
from pipeline_src.imaging.imresize import imresize
from pipeline_src.models import build
from pipeline_src.weights import save_net, save_tensors

NET = {"entry": 4, "features": 8, "head": 8, "blocks": 1}
PHOTOGRAPH = Image.fromarray(photograph("chelsea.png")[20:111, 30:163])  # 91×133, no multiple of 4


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in a project with an untrained downscaler; returns what it prints on stderr."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    metadata = {"downscaler": "car", "scales": [4], "net": NET}
    weights = paths.downscaler("car_x4") / "weights.safetensors"
    save_tensors(weights, downscaling.build("car", [4], NET).state_dict(), metadata)
    upscaler = build("abpn", [4], {"channels": 4, "depth": 1})
    save_net(paths.weights("car_x4"), upscaler, {"model": "abpn", "scales": [4], "net": {"channels": 4, "depth": 1}})
    for name, scale in (("x4", 4), ("x2", 2)):
        net = build("abpn", [scale], {"channels": 4, "depth": 1})
        save_net(
            Path(f"{name}.safetensors"), net, {"model": "abpn", "scales": [scale], "net": {"channels": 4, "depth": 1}}
        )
    PHOTOGRAPH.save("photo.png")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def command(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        messages = capsys.readouterr().err
        assert end.value.code == status, messages
        return messages

    return command


def test_the_upscaled_image_has_the_size_of_the_photograph(run: Callable[..., str]) -> None:
    run("downscale", "photo.png", "-o", "small.png", "--model", "car_x4")
    with Image.open("small.png") as small:
        assert small.size == (34, 23)
        assert small.info["super_resolution"] == "133x91 by 4 for car_x4"
    run("upscale", "small.png", "-o", "again.png", "--model", "x4.safetensors")
    with Image.open("again.png") as again:
        assert again.size == PHOTOGRAPH.size


def test_a_net_that_rebuilds_small_images_warns_of_others(run: Callable[..., str]) -> None:
    run("downscale", "photo.png", "-o", "small.png", "--model", "car_x4")
    assert "does not say" not in run(
        "upscale", "small.png", "-o", "again.png", "--model", "car_x4", "--runtime", "torch"
    )
    said = run("upscale", "photo.png", "-o", "large.png", "--model", "car_x4", "--runtime", "torch")
    assert "photo.png does not say that `superres downscale --model car_x4` made it; car_x4 rebuilds" in said


def test_a_small_image_that_was_cropped_since_is_not_cropped_again(run: Callable[..., str]) -> None:
    run("downscale", "photo.png", "-o", "small.png", "--model", "car_x4")
    with Image.open("small.png") as small:
        from PIL.PngImagePlugin import PngInfo

        note = PngInfo()
        note.add_text("super_resolution", small.info["super_resolution"])
        small.crop((0, 0, 20, 20)).save("cropped.png", pnginfo=note)
    run("upscale", "cropped.png", "-o", "again.png", "--model", "x4.safetensors")
    with Image.open("again.png") as again:
        assert again.size == (80, 80)


def test_a_bundled_downscaler_runs_in_int8(run: Callable[..., str]) -> None:
    run("downscale", "photo.png", "-o", "exact.png", "--model", "conv_x4")
    said = run("downscale", "photo.png", "-o", "small.png", "--model", "conv_x4", "--variant", "ptq")
    assert "exporting conv_x4-downscaler ×4 (ptq) once" in said
    assert "exporting" not in run("downscale", "photo.png", "-o", "same.png", "--model", "conv_x4", "--variant", "ptq")
    exact, small, same = (np.asarray(Image.open(f"{name}.png"), np.float64) for name in ("exact", "small", "same"))
    assert exact.shape == small.shape == (23, 34, 3)
    assert np.array_equal(small, same)
    assert 0 < np.square(small - exact).mean() < 1
    with Image.open("small.png") as image:
        assert image.info["super_resolution"] == "133x91 by 4 for conv_x4"


def test_a_file_of_a_downscaler_is_exported_and_upscales_nothing(run: Callable[..., str]) -> None:
    arguments = ("--model", "conv_x4", "--downscaler", "--format", "tflite")
    run("export", *arguments, "--variant", "ptq", "--size", "64x96", "-o", "int8.tflite")
    card = cards.read(Path("int8.tflite"))
    assert (card.system, card.variant, card.takes, card.gives) == ("conv_x4/downscaler", "ptq", "HR", "LR")
    assert (card.scale, card.size, card.multiple_of, card.input.dtype) == (4, (64, 96), 4, "int8")
    run("export", *arguments)
    assert Path("conv_x4_downscaler_fp32_x4.tflite").is_file()
    said = run("upscale", "photo.png", "-o", "b.png", "--model", "int8.tflite", status=1)
    assert "int8.tflite makes images smaller; name its net to superres downscale: --model conv_x4 --runtime" in said


def test_several_images_become_a_folder(run: Callable[..., str]) -> None:
    Path("in").mkdir()
    grey = PHOTOGRAPH.convert("L")
    grey.save("in/grey.png")
    PHOTOGRAPH.save("in/colours.jpg")
    run("downscale", "in", "-o", "out", "--model", "car_x4")
    assert {path.name: Image.open(path).mode for path in Path("out").iterdir()} == {
        "grey.png": "L",
        "colours.png": "RGB",
    }
    assert np.asarray(Image.open("out/grey.png")).shape == (23, 34)


@pytest.mark.parametrize(("scale", "size"), [("3", (45, 31)), ("4", (34, 23)), ("2.5", (54, 37))])
def test_bicubic_is_imresize_of_matlab(run: Callable[..., str], scale: str, size: tuple[int, int]) -> None:
    run("downscale", "photo.png", "--scale", scale)
    with Image.open(f"photo_d{scale}.png") as small:
        assert small.size == size
        assert np.array_equal(np.asarray(small), imresize(np.asarray(PHOTOGRAPH), 1 / Fraction(scale)))
        assert "super_resolution" not in small.info  # any net may upscale it, by any scale


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("downscale", "photo.png", "-o", "b.png", "--model", "carn_m"),
            "carn_m was trained on bicubic LR images, and no learned downscaler is beside it; choose --model bicubic",
        ),
        (
            ("downscale", "photo.png", "-o", "b.png", "--model", "none"),
            "there is no net of the name none; the run in this folder has car_x4; bundled are",
        ),
        (("downscale", "photo.png", "-o", "b.png"), "bicubic makes images smaller by any factor; choose one"),
        (
            ("downscale", "photo.png", "-o", "b.png", "--model", "car_x4", "--scale", "3"),
            "car_x4 makes images ×4 smaller, not ×3; choose another --scale",
        ),
        (
            ("downscale", "photo.png", "-o", "b.png", "--model", "car_x4", "--variant", "ptq"),
            "the downscaler of car_x4 has operators that int8 and TFLite files lack; the stage export writes it to",
        ),
        (
            ("downscale", "photo.png", "-o", "b.png", "--model", "conv_x4", "--variant", "ptq", "--runtime", "torch"),
            "torch runs the variant fp32 only; choose another --runtime or --variant fp32",
        ),
        (
            ("downscale", "photo.png", "-o", "b.png", "--scale", "2", "--variant", "ptq"),
            "bicubic is no net, and has no runtime or variant; leave these options out",
        ),
        (
            ("export", "--model", "conv_x4", "--downscaler", "--format", "onnx", "--size", "50x60"),
            "the downscaler of conv_x4 takes images whose sides are multiples of 4, not of 50x60; choose",
        ),
        (
            ("export", "--model", "abpn_x4", "--downscaler", "--format", "onnx"),
            "abpn_x4 has no learned downscaler; choose a net that has one",
        ),
        (
            ("export", "--model", "conv_x4", "--downscaler", "--format", "onnx", "--variant", "qat"),
            "a downscaler has fp32 and ptq alone, not qat; choose another --variant",
        ),
        (("downscale", "photo.png", "-o", "photo.png", "--model", "car_x4"), "photo.png is the input itself"),
        (
            ("upscale", "small.png", "-o", "b.png", "--model", "x2.safetensors"),
            "small.png was made to be upscaled ×4 by car_x4, not ×2; choose --model car_x4",
        ),
    ],
)
def test_a_mistake_is_one_sentence(run: Callable[..., str], arguments: tuple[str, ...], sentence: str) -> None:
    run("downscale", "photo.png", "-o", "small.png", "--model", "car_x4")
    messages = run(*arguments, status=1)
    assert f"error: {sentence}" in messages
    assert not Path("b.png").exists()
