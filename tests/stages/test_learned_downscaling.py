"""A system with a learned downscaler through its stages, and the round trip of photographs, run as a user runs it."""

import csv
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from PIL import Image
from shared import ROOT, TINY, fetched, merged, photograph, stage_environment

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.deployment import cards, runtimes
from pipeline_src.deployment.formats import FORMATS, openvino
from pipeline_src.downscaling import car, downscale
from pipeline_src.files import sha256
from pipeline_src.graph.saturation import LARGEST_SUM
from pipeline_src.weights import load_downscaler

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]

RECIPE: dict[str, Any] = TINY | {"augment": ["hflip"], "loss": "l1", "lr": 1e-4, "decay": "cosine"}
SMALL = {
    "model": "abpn",
    "scales": [4],
    "net": {"channels": 8, "depth": 1},
    "downscaler": {"model": "car", "net": {"entry": 4, "features": 8, "head": 8, "blocks": 1}, "tv_weight": 1e-3},
    "baseline": "plain",
    "benchmark_size": [24, 32],
    "train": RECIPE | {"patch": 12, "steps": 30, "lr": 1e-3},
    "qat": RECIPE,
}
CONV = {"model": "conv", "net": {"channels": 8, "depth": 1}}
OUT = Path("results/train/small/downscaler")
X2 = ROOT / "pipeline_src/pretrained/abpn_x2.safetensors"


@pytest.fixture
def ready(workspace: Make, train_h5: Path) -> Make:
    """A workspace with the system ``small``, whose build_h5 is done."""

    def make(downscaler: dict[str, Any] | None = None, /, **changes: Any) -> Path:
        small = merged(SMALL | ({"downscaler": downscaler} if downscaler else {}), changes)
        plain = {key: value for key, value in small.items() if key != "baseline"} | {"downscaler": {"model": "bicubic"}}
        changes = {
            "systems": {"small": small, "plain": plain},
            "quantize": {"calibration_images": 2, "calibration_crop": 32},
        }
        folder = workspace(
            changes
            | {"benchmark": {"threads": 1, "runs": 2, "interval": 9, "min_seconds": 0, "crops": 1, "crop_size": 16}}
        )
        (folder / "results/build_h5").mkdir(parents=True)
        shutil.copy(train_h5, folder / "results/build_h5/train.h5")
        return folder

    return make


def command(folder: Path, name: str, *arguments: object, status: int = 0) -> str:
    done = forked.run(folder, "pipeline_src", name, *map(str, arguments), environment=stage_environment())
    assert done.returncode == status, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("downscaler", [None, CONV], ids=["car", "conv"])
def test_from_training_to_measurements_and_there_and_back(
    ready: Make, stage: Stage, downscaler: dict[str, Any] | None
) -> None:
    folder = ready(downscaler)
    colours = Image.fromarray(photograph("astronaut.png")[60:150, 200:301])
    fetched(folder, "samples_heldout", a=colours, grey=colours.convert("L"))
    for name in ("train", "quantize", "export"):
        done = stage(folder, name, "small")
        assert done.returncode == 0, done.stderr
    assert_later_stages_see_the_learned_images(folder, downscaler["model"] if downscaler else "car")
    for card in (folder / "results/export/small").rglob("*_x4*.json"):  # a few kinds of files are enough to measure
        kinds = ("fp32_x4.onnx", "qat_x4.onnx", "fp32_x4_24x32", "ptq_x4.tflite", "ptq_x4_96x128")
        if not card.name.startswith(kinds[:3] if card.parent.name == "small" else kinds[3:]):
            card.unlink()
    done = stage(folder, "benchmark", "small")
    assert done.returncode == 0, done.stderr
    assert_measured(folder / "results/benchmark/small")
    assert (folder / "results/benchmark/small/downscaler.csv").exists() == (downscaler is not None)
    if downscaler:
        assert_its_file_is_measured(folder / "results/benchmark/small/downscaler.csv")
    assert_there_and_back(folder)


def assert_later_stages_see_the_learned_images(folder: Path, model: str) -> None:
    h5 = folder / "results/build_h5/train.h5"
    images = ImagePairs(h5, "training", folder / OUT / "lr.h5")
    for name in images.names:
        learned, bicubic = images.lr(name, 4), images.lr(name, 4, bicubic=True)
        assert learned.shape == bicubic.shape
        assert not np.array_equal(learned, bicubic)
    assert np.array_equal(
        ImagePairs(h5, "training", None).lr(images.names[0], 4), images.lr(images.names[0], 4, bicubic=True)
    )
    for row in csv.DictReader((folder / "results/quantize/small/calibration.csv").open()):
        middle, _ = images.middle(f"{row['set']}/{row['file']}", 4, 32)
        assert hashlib.sha256(middle.tobytes()).hexdigest() == row["sha256_pixels"]
    metrics = json.loads((folder / "results/quantize/small/metrics.json").read_text())["small"]
    trained = json.loads((folder / "results/train/small/metrics.json").read_text())
    # Nearly: quantize sees the middle of the LR image of the whole, train the LR image of the middle.
    assert metrics["fp32"]["psnr_y"] == pytest.approx(trained["psnr_y"], abs=0.2)
    card = json.loads((folder / "results/export/small/fp32_x4.onnx.json").read_text())
    assert (card["lr"], card["origin"], card["dtype"]) == (model, "trained here", "float32")
    if model == "conv":
        assert_its_files_are_those_of_a_net(folder)
        return
    names = {file.name for file in (folder / "results/export/small").glob("downscaler*")}
    assert names == {"downscaler.onnx", "downscaler.xml", "downscaler.bin", "downscaler.json"}
    assert_the_files_downscale_as_torch_does(folder)


def assert_its_files_are_those_of_a_net(folder: Path) -> None:
    """In every format and precision, each with its card; int8 calibrated on HR pixels of training images."""
    files = cards.read_folder(folder / "results/export/small/downscaler")
    assert {(card.variant, card.format) for card in files.values()} == {
        *(("fp32", name) for name in FORMATS), *(("ptq", name) for name in FORMATS if name != "openvino_fp16")
    }  # fmt: skip
    photo = photograph("chelsea.png")[:77, :105]
    expected = downscale(load_downscaler(folder / OUT / "weights.safetensors"), photo)
    for file, card in files.items():
        assert (card.system, card.takes, card.gives, card.scale) == ("small/downscaler", "HR", "LR", 4)
        assert card.size in (None, (96, 128))
        assert card.largest_sum <= LARGEST_SUM
        if not card.size:
            error = np.square(runtimes.load(file, 1)(photo).astype(float) - expected).mean()
            assert error < (0.01 if card.variant == "fp32" else 2)
    metrics = json.loads((folder / "results/quantize/small/metrics.json").read_text())
    assert metrics["small/downscaler"]["fp32"]["psnr_y"] == pytest.approx(metrics["small"]["fp32"]["psnr_y"], abs=0.2)
    assert metrics["small/downscaler"]["ptq"]["psnr_y"] == pytest.approx(metrics["small"]["fp32"]["psnr_y"], abs=0.5)
    rows = list(csv.DictReader((folder / "results/export/small/inventory.csv").open()))
    assert {row["net"] for row in rows} == {"small", "small/downscaler"}


def assert_the_files_downscale_as_torch_does(folder: Path) -> None:
    import torch

    from pipeline_src.deployment.formats import onnx

    net = load_downscaler(folder / OUT / "weights.safetensors")
    card = json.loads((folder / "results/export/small/downscaler.json").read_text())
    assert card["input"]["multiple_of"] == net.multiple
    files = [folder / f"results/export/small/downscaler.{suffix}" for suffix in ("onnx", "xml")]
    session = onnx.library().InferenceSession(files[0])
    model = openvino.compile_model(files[1], 1)
    for height, width in ((16, 16), (40, 72), (104, 24)):
        hr = np.ascontiguousarray(photograph("chelsea.png")[:height, :width].transpose(2, 0, 1)[None], np.float32)
        with torch.inference_mode():
            expected = net(torch.from_numpy(hr))[0].clamp(0, 255).numpy()
        for lr in (session.run(None, {"hr": hr})[0], model(hr)[0]):
            assert np.abs(lr - expected).max() < 0.01


def test_tiles_do_not_show() -> None:
    import torch

    torch.manual_seed(0)
    net = car.build([4], entry=4, features=8, head=8, blocks=1).eval()
    for head in (net.kernels, net.down, net.across):
        torch.nn.init.normal_(head[-1].weight, std=0.05)
    photo = photograph("coffee.png")[:333, :402]
    whole = downscale(net, photo)
    net.tile, net.overlap = 128, 96
    tiled = downscale(net, photo)
    assert whole.shape == tiled.shape == (84, 101, 3)
    different = np.abs(whole.astype(int) - tiled.astype(int))
    assert different.max() <= 1
    assert different.mean() < 1e-3


def test_learned_images_that_are_not_there_are_no_bicubic_ones(ready: Make, stage: Stage) -> None:
    folder = ready()
    assert stage(folder, "train", "small").returncode == 0
    for file in (folder / OUT).iterdir():
        file.unlink()
    done = stage(folder, "quantize", "small")
    assert done.returncode == 1
    assert "lr.h5 does not exist; run the stage train first" in done.stderr.splitlines()[-1]


def assert_measured(out: Path) -> None:
    rows = {(r["set"], r["image"], r["lr"]): r for r in csv.DictReader((out / "lr.csv").open())}
    assert set(rows) == {("samples_heldout", image, lr) for image in ("a", "grey") for lr in ("learned", "bicubic")}
    for (_, image, lr), row in rows.items():
        assert float(row["psnr_y"]) == float("inf") if lr == "bicubic" else 20 < float(row["psnr_y"]) < 60
        assert 0 < float(row["aliasing"]) < 30
        assert abs(float(row["tone_shift"])) < 10
        with Image.open(out / f"lr/samples_heldout/{image}_x4.png") as png:
            assert (png.size, png.mode) == ((25, 22), "L" if image == "grey" else "RGB")
    curve = list(csv.DictReader((out / "jpeg.csv").open()))
    assert [int(row["quality"]) for row in curve] == [30, 50, 70, 80, 90] * 4
    for low, high in zip(curve, curve[4:], strict=False):
        if (low["quality"], high["quality"]) == ("30", "90"):
            assert float(low["psnr_y"]) < float(high["psnr_y"])
            assert int(low["bytes"]) < int(high["bytes"])


def assert_its_file_is_measured(table: Path) -> None:
    (row,) = csv.DictReader(table.open())
    assert [row[name] for name in ("system", "variant", "runtime", "scale", "set", "images")] == [
        "small/downscaler", "ptq", "tflite", "4", "samples_heldout", "2"
    ]  # fmt: skip
    assert (row["hr_height"], row["hr_width"], row["file"], row["fails"]) == ("96", "128", "ptq_x4_96x128.tflite", "")
    assert float(row["lr_psnr"]) > 46
    assert 20 < float(row["bicubic_psnr_y"]) < 60
    assert abs(float(row["psnr_y_float"]) - float(row["psnr_y_int8"])) < 1
    assert float(row["p50_ms"]) > float(row["infer_p50_ms"]) > 0
    assert int(row["file_bytes"]) > 0
    assert (row["off_levels"], row["disagrees"]) == ("0", "")


def assert_there_and_back(folder: Path) -> None:
    photo = Image.fromarray(photograph("chelsea.png")[20:187, 30:271])
    alpha = photo.copy()
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 241).astype(np.uint8), (167, 1))))
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    for name, image, mode in (
        ("colours", photo, "RGB"),
        ("grey", photo.convert("L"), "L"),
        ("alpha", alpha, "RGBA"),
        ("deep", deep, "L"),
        ("portrait", photo.crop((0, 0, 9, 90)), "RGB"),
        ("dot", photo.crop((0, 0, 1, 1)), "RGB"),
    ):
        image.save(folder / f"{name}.png")
        command(folder, "downscale", f"{name}.png", "-o", f"{name}_small.png", "--model", "small")
        command(folder, "upscale", f"{name}_small.png", "-o", f"{name}_again.png", "--model", "small")
        with Image.open(folder / f"{name}_small.png") as small, Image.open(folder / f"{name}_again.png") as again:
            assert small.size == tuple(-(-side // 4) for side in image.size)
            assert (small.mode, again.mode) == (mode, mode), name
            assert again.size == image.size
            before = np.asarray(
                image if mode == "L" and name == "grey" else photo.crop((0, 0, *image.size)).convert("L")
            )
            error = np.abs(np.asarray(again.convert("L"), float) - before)
            assert error.mean() < 16, name
    said = command(folder, "upscale", "colours_small.png", "-o", "b.png", "--model", X2, status=1)
    assert said.strip().endswith("was made to be upscaled ×4 by small, not ×2; choose --model small")


def test_what_is_no_learned_downscaler_is_refused(ready: Make) -> None:
    folder = ready()
    Image.new("RGB", (20, 20)).save(folder / "a.png")
    said = command(folder, "downscale", "a.png", "-o", "b.png", "--model", "abpn_x3", status=1)
    assert said.strip() == (
        "error: abpn_x3 was trained on bicubic LR images, and no learned downscaler is beside it; "
        "choose --model bicubic, or a net whose downscaler learns (`superres models NAME` says so)"
    )
    said = command(folder, "downscale", "a.png", "-o", "b.png", "--model", "small", status=1)
    assert said.startswith("error: small has not been trained here; run `make report` (or `dvc repro export@small`)")
    assert not (folder / "b.png").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": [3]}, "CAR has one scale, 2 or 4, not [3]"),
        ({"downscaler": {"net": {"depth": 3}}}, "net.depth is unknown; the downscaler car takes entry, features"),
        (
            {"downscaler": {"model": "lanczos"}},
            "there is no model 'lanczos' in pipeline_src/downscaling; there are bicubic, car, conv",
        ),
        ({"downscaler": {"model": "bicubic"}}, "the downscaler bicubic takes no arguments"),
        ({"downscaler": {"model": "conv"}}, "net.entry is unknown; the downscaler conv takes channels, depth"),
        ({"downscaler": {"jpeg": [0]}}, "systems.small.downscaler.jpeg.0"),
    ],
)
def test_a_downscaler_that_cannot_be_is_one_sentence(ready: Make, stage: Stage, changes: Any, message: str) -> None:
    done = stage(ready(**changes), "train", "small")
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_weights_of_another_scale_are_refused_before_training(ready: Make, stage: Stage) -> None:
    folder = ready(net={"channels": 28, "depth": 4}, train={"start": {"file": str(X2), "sha256": sha256(X2)[:12]}})
    done = stage(folder, "train", "small")
    assert done.returncode == 1
    assert "holds weights of abpn ×2, which do not fit this system" in done.stderr.splitlines()[-1]
