"""The command ``superres upscale`` on odd images, run as a user runs it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared import photograph

from pipeline_src.cli.main import main
from pipeline_src.imaging.colour import as_rgb
from pipeline_src.models import build
from pipeline_src.weights import save_net

Upscale = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ABPN ×3 that is no mere copy of its anchor."""
    torch.manual_seed(1)
    net = build("abpn", [3], {})
    torch.nn.init.xavier_normal_(net.body[-1].weight)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_net(path, net, {"model": "abpn", "scales": [3], "net": {}})
    return path


@pytest.fixture
def run(weights: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; returns what it prints on stderr, and fails unless it exits as expected."""

    def upscale(*arguments: object, status: int = 0) -> str:
        with pytest.raises(SystemExit) as end:
            main(["upscale", "--model", str(weights), *map(str, arguments)])
        messages = capsys.readouterr().err
        assert end.value.code == status, messages
        return messages

    return upscale


@pytest.fixture
def once(run: Callable[..., str], tmp_path: Path) -> Upscale:
    """Write an image, upscale it, and open the result."""

    def upscale(image: Image.Image, *arguments: object, source: str = "in.png", **save: object) -> Image.Image:
        image.save(tmp_path / source, **save)
        run(tmp_path / source, "-o", tmp_path / "out.png", *arguments)
        return Image.open(tmp_path / "out.png")

    return upscale


def chelsea(height: int, width: int) -> Image.Image:
    return Image.fromarray(photograph("chelsea.png")[100 : 100 + height, 80 : 80 + width])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 51), (64, 64), (65, 130)])
def test_tiles_make_the_image_that_the_whole_makes(once: Upscale, size: tuple[int, int]) -> None:
    whole, tiled = (np.asarray(once(chelsea(*size), "--tile", tile)) for tile in (1000, 48))
    assert whole.shape == (size[0] * 3, size[1] * 3, 3)
    assert np.array_equal(whole, tiled)


def test_grey_stays_grey(once: Upscale) -> None:
    assert once(chelsea(20, 30).convert("L")).mode == "L"
    assert once(chelsea(20, 30).convert("1")).mode == "L"


def test_transparency_is_kept(once: Upscale) -> None:
    image = chelsea(20, 30)
    plain = np.asarray(once(image))
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0], [255]]), 10, axis=0).repeat(30, axis=1)))
    result = np.asarray(once(image))
    assert result.shape == (60, 90, 4)
    assert np.array_equal(result[-6:, :, :3], plain[-6:])  # what is seen, but for where the net sees the border
    assert (result[:20, :, 3] == 0).all()
    assert (result[-20:, :, 3] == 255).all()
    assert once(image.convert("LA")).mode == "LA"


def test_a_palette_becomes_colours(once: Upscale) -> None:
    image = chelsea(20, 30).quantize(16)
    assert np.array_equal(np.asarray(once(image)), np.asarray(once(image.convert("RGB"))))


def test_16_bits_stay_16_bits_and_within_a_level_of_what_the_net_makes_of_8(once: Upscale) -> None:
    eight = np.asarray(chelsea(20, 30).convert("L"))
    sixteen = once(Image.fromarray(eight.astype(np.uint16) * 257 + 77))
    assert sixteen.mode == "I;16"
    difference = np.asarray(sixteen) / 257 - np.asarray(once(Image.fromarray(eight)))
    assert np.abs(difference).max() <= 1.51  # the mean of three channels is rounded too


def test_an_animation_keeps_its_frames_and_their_times(once: Upscale, run: Callable[..., str], tmp_path: Path) -> None:
    first, *rest = (chelsea(10, 12).rotate(90 * turn) for turn in range(3))
    first.save(tmp_path / "in.gif", save_all=True, append_images=rest, duration=[100, 200, 300], loop=2)
    run(tmp_path / "in.gif", "-o", tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as made:
        assert (made.size, made.n_frames, made.info["loop"]) == ((36, 30), 3, 2)
        times = []
        for index in range(3):
            made.seek(index)
            times.append(made.info["duration"])
    assert times == [100, 200, 300]


def test_exif_orientation_is_applied(once: Upscale) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: the picture lies on its side
    image = chelsea(20, 30)
    result = once(image, exif=exif)
    assert result.size == (60, 90)
    assert np.array_equal(np.asarray(result), np.asarray(once(image.transpose(Image.Transpose.ROTATE_270))))
    assert result.getexif().get(0x0112, 1) == 1


def test_a_folder_becomes_a_folder(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, size in {"a.png": (10, 12), "b.jpg": (9, 7), "notes.txt": None}.items():
        if size:
            chelsea(*size).save(tmp_path / "in" / name)
        else:
            (tmp_path / "in" / name).write_text("no image")
    run(tmp_path / "in", "-o", tmp_path / "out")
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()}
    assert sizes == {"a.png": (36, 30), "b.png": (21, 27)}


@pytest.mark.parametrize("command", [["pipeline_src", "upscale"], ["pipeline_src.cli.upscale"]])
def test_the_module_runs_as_a_command(weights: Path, tmp_path: Path, command: list[str]) -> None:
    chelsea(10, 12).save(tmp_path / "in.png")
    arguments = ["in.png", "-o", "out.png", "--model", str(weights)]
    assert subprocess.run([sys.executable, "-m", *command, *arguments], cwd=tmp_path).returncode == 0
    assert Image.open(tmp_path / "out.png").size == (36, 30)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.png", "-o", "out.png"], "the image missing.png does not exist"),
        (["broken.png", "-o", "out.png"], "broken.png is broken or cut short"),
        (["text.png", "-o", "out.png"], "text.png is not an image"),
        (["good.png", "-o", "good.png"], "good.png is the input itself; choose another --output"),
        (
            ["clear.png", "-o", "out.jpg"],
            "clear.png has transparency, which .jpg cannot hold; choose a file that ends in .png",
        ),
        (["good.png", "-o", "out.xyz"], "out.xyz: no image format that can be written has this name"),
        (["empty", "-o", "out"], "empty holds no images"),
        (["good.png", "good.bmp", "-o", "out"], "2 images would all be written to out/good.png"),
        (["good.png", "-o", "out.png", "--overlap", "99", "--tile", "99"], "the overlap must be smaller than the tile"),
        (["good.png", "good.bmp", "-o", "text.png"], "text.png is a file, and a folder is needed"),
        (["good.png", "-o", "text.png/out.png"], "text.png is a file, so text.png/out.png cannot be in it"),
        (["good.png", "-o", "out.png", "--quality", "50"], "--quality is for jpeg, webp and avif, and out.png is none"),
        (["good.png", "-o", "out.png", "--model", "nothing.onnx"], "nothing.onnx"),
        (
            ["good.png", "-o", "out.png", "--model", "none"],
            "there is no net of the name none; bundled are abpn_photo_x2",
        ),
        (["good.png", "-o", "out.png", "--width", "30"], "the image is 30 pixels wide, and 30 is not larger"),
        (["good.png", "-o", "out.png", "--scale", "3.5"], "upscales ×3, not ×3.5; choose another --scale"),
        (["good.png", "--model", "bicubic", "--tile", "64"], "bicubic divides no image into tiles; leave --tile and"),
        (["good.png", "--model", "bicubic", "--overlap", "0"], "bicubic divides no image into tiles; leave --tile and"),
        (["good.png", "-o", "out.png", "--device", "cuda:9"], "torch sees no device cuda:9 here"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("not an image")
    image = chelsea(30, 30)
    image.save("good.png")
    image.save("good.bmp")
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:1500])
    image.putalpha(128)
    image.save("clear.png")
    before = sorted(path.name for path in tmp_path.iterdir())
    messages = run(*arguments, status=1)
    assert messages.splitlines()[-1].startswith("error: ")
    assert sentence in messages
    assert "Traceback" not in messages
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "out") == before


def test_grey_is_stacked_to_three_channels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(as_rgb(grey)[..., 1], grey)


def upscaled(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["upscale", "--threads", "1", *arguments])
    messages = capsys.readouterr().err
    assert end.value.code == 0, messages
    return messages


@pytest.mark.parametrize(
    ("arguments", "name", "size"),
    [
        ((), "photo_x4.png", (48, 40)),
        (("--model", "super"), "photo_x4.png", (48, 40)),
        (("--scale", "2"), "photo_x2.png", (24, 20)),
        (("--scale", "2.5"), "photo_x2.5.png", (30, 25)),
        (("--width", "36"), "photo_36w.png", (36, 30)),
        (("--height", "15"), "photo_15h.png", (18, 15)),
        (("--model", "good"), "photo_x3.png", (36, 30)),
        (("--model", "bicubic", "--scale", "3.5"), "photo_x3.5.png", (42, 35)),
    ],
)
def test_without_an_output_the_result_lies_beside_the_photograph(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], name: str, size: tuple[int, int]
) -> None:
    Path("elsewhere").mkdir()
    chelsea(10, 12).save("elsewhere/photo.jpg")
    upscaled(capsys, "elsewhere/photo.jpg", *arguments)
    (result,) = Path("elsewhere").glob("*.png")
    assert (result.name, Image.open(result).size) == (name, size)


def test_without_an_output_a_folder_becomes_a_folder_beside_it(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("holiday").mkdir()
    for name in ("a.png", "b.jpg"):
        chelsea(10, 12).save(f"holiday/{name}")
    chelsea(10, 12).save("c.png")
    upscaled(capsys, "holiday", "c.png", "--model", "good")
    assert {str(path) for path in Path().rglob("*_x3*/*")} == {"holiday_x3/a.png", "holiday_x3/b.png"}
    assert Path("c_x3.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("photo.png",), "photo_x4.png: super ×4, 12×10 -> 48×40 pixels"),
        (("photo.png", "--width", "30", "-o", "new/a.jpg"), "new/a.jpg: good ×3, 12×10 -> 30×25 pixels"),
        (("photo.png", "--model", "bicubic", "--scale", "2"), "photo_x2.png: bicubic, 12×10 -> 24×20 pixels"),
        (("photo.png", "in", "-o", "out"), "2 images in out: super ×4"),
        (("photo.png", "in"), "2 images beside their originals: super ×4"),
    ],
)
def test_one_line_says_what_was_made(
    shelf: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    Path("in").mkdir()
    for name in ("photo.png", "in/b.png"):
        chelsea(10, 12).save(name)
    with pytest.raises(SystemExit) as end:
        main(["upscale", "--threads", "1", *arguments])
    assert (end.value.code, capsys.readouterr().out) == (0, f"{line}\n")


def test_an_image_of_a_folder_that_is_large_enough_is_named(
    shelf: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Path("in").mkdir()
    for name, width in (("in/a.png", 12), ("in/b.png", 40)):
        chelsea(10, width).save(name)
    with pytest.raises(SystemExit):
        main(["upscale", "in", "--width", "40"])
    assert caplog.messages[0].startswith("in/b.png: the image is 40 pixels wide, and 40 is not larger")


def test_a_device_is_named_in_any_case_and_refused_before_an_export(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chelsea(10, 12).save("photo.png")
    upscaled(capsys, "photo.png", "--model", "good", "--device", "CPU")
    for runtime, sentence in (("onnx", "ONNX Runtime has no device tpu here, but cpu"), ("tflite", "TFLite runs on")):
        with pytest.raises(SystemExit):
            main(["upscale", "photo.png", "--model", "good", "--runtime", runtime, "--device", "tpu"])
        message = capsys.readouterr().err
        assert message.startswith(f"error: {sentence}")
        assert "azure" not in message
    assert not (shelf.parent / "cache").exists()


def test_a_net_below_bicubic_is_named_in_a_warning(
    shelf: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    chelsea(10, 12).save("photo.png")
    upscaled(capsys, "photo.png", "--model", "good")
    assert "below bicubic" not in caplog.text
    upscaled(capsys, "photo.png", "--model", "bad")
    assert "bad ×3 is 2.00 dB below bicubic" in caplog.text
