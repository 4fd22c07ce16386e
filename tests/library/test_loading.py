"""Nets as functions on arrays: ``from pipeline_src import load_model``."""

import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shared import ROOT, photograph

from pipeline_src import load_model
from pipeline_src.deployment import runtimes
from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize

LR = photograph("chelsea.png")[100:140, 80:130]


def test_a_name_and_a_path_give_the_image_of_the_net(shelf: Path) -> None:
    expected = runtimes.load(shelf / "good.safetensors", 1)(LR)
    for model in ("good", shelf / "good.safetensors"):
        upscale = load_model(model, threads=1)
        assert upscale.factor == 3
        assert np.array_equal(upscale(LR), expected)
    assert np.array_equal(load_model(scale=3, threads=1)(LR), expected)
    assert load_model("good", runtime="onnx", threads=1)(LR).shape == expected.shape


@pytest.mark.parametrize("scale", [2.5, Fraction(5, 2)])
def test_a_scale_may_lie_between_those_of_nets(shelf: Path, scale: float | Fraction) -> None:
    sr = load_model("good", scale=scale, threads=1)(LR)
    assert np.array_equal(sr, imresize(load_model("good", threads=1)(LR), Fraction(5, 6)))


def test_grey_stays_grey_and_a_view_is_read_as_it_looks(shelf: Path) -> None:
    upscale = load_model("good", threads=1)
    grey = LR[..., 0]
    assert upscale(grey).shape == (120, 150)
    assert np.array_equal(upscale(LR[:, ::-1]), upscale(np.ascontiguousarray(LR[:, ::-1])))


@pytest.mark.parametrize(
    "image",
    [LR / 255, LR[..., :2], np.dstack([LR, LR[..., 0]]), LR[None], LR[:0], LR.astype(np.uint16), LR > 9],
    ids=["float", "2", "rgba", "4d", "empty", "16", "bool"],
)
def test_other_arrays_are_refused(shelf: Path, image: np.ndarray) -> None:
    with pytest.raises(UserError, match="an image is uint8 H×W×3 or H×W, and not empty, not "):
        load_model("good", threads=1)(image)


@pytest.mark.parametrize("image", [Image.fromarray(LR), "photo.png", Path("photo.png"), LR.tolist(), None, 3])
def test_other_things_than_arrays_are_refused(shelf: Path, image: object) -> None:
    with pytest.raises(UserError, match=r"an image is a NumPy array, uint8 H×W×3 or H×W, not .*; make one, as by"):
        load_model("good", threads=1)(image)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [3, b"good", ["good"], True, "", "x" * 300, "x" * 300 + ".onnx"])
def test_a_model_is_a_name_or_a_path(shelf: Path, model: object) -> None:
    with pytest.raises(UserError):
        load_model(model)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [2, 2.0, np.float32(2), np.int64(2), Fraction(2), Decimal(2)])
def test_a_scale_is_any_number(shelf: Path, scale: Any) -> None:
    assert load_model("super", scale=scale, threads=1).factor == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"runtime": "nonsense"}, "nonsense is none of torch, onnx"),
        ({"variant": "int8"}, "int8 is none of fp32, ptq, qat"),
        ({"scale": 1}, "scale must be above 1 and at most 16, not 1; choose another"),
        ({"scale": "3"}, r"scale must be a number, not '3' \(str\); correct it"),
        ({"scale": 10**400}, "scale must be above 1 and at most 16, not 1000"),
        ({"scale": True}, r"scale must be a number, not True \(bool\)"),
        ({"scale": [3]}, "scale must be a number"),
        ({"scale": float("nan")}, "scale must be above 1 and at most 16, not nan"),
        ({"scale": float("inf")}, "scale must be above 1 and at most 16, not inf"),
        ({"threads": "2"}, "threads must be a whole number of 1 or more, not '2'"),
        ({"threads": 0}, "threads must be a whole number of 1 or more, not 0"),
        ({"device": 3}, "device must be a text, not 3"),
        ({"runtime": 3}, "runtime must be a text, not 3"),
        ({"variant": ["ptq"]}, "variant must be a text"),
        ({"scale": 4}, "good upscales ×3, not ×4; choose another scale=$"),
        ({"device": "cuda:9"}, 'torch sees no device cuda:9 here; choose device="cpu", or'),
    ],
)
def test_wrong_options_are_user_errors(shelf: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_model("good", **options)  # type: ignore[arg-type]


def test_importing_the_package_imports_no_other_module_of_it() -> None:
    heavy = "name in ('numpy', 'torch', 'PIL') or name.startswith('pipeline_src')"
    program = f"import sys; from pipeline_src import load_model; print(*(name for name in sys.modules if {heavy}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pipeline_src"]


def test_no_runtime_reports_home(tmp_path: Path) -> None:
    """ONNX Runtime keeps what it reports in the user's cache folder; OpenVINO reports by a package of its own."""
    code = (
        "import sys, numpy\n"
        "from pipeline_src import load_model\n"
        "for runtime in ('onnx', 'openvino'):\n"
        "    load_model('abpn_x3', runtime=runtime)(numpy.zeros((9, 9, 3), numpy.uint8))\n"
        "assert {'onnxruntime', 'openvino'} <= set(sys.modules)\n"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / ".cache").iterdir()] == ["superres"]
