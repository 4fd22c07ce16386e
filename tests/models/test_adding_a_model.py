"""The model of docs/adding-a-model.md, taken from that page as it stands, goes through the stages of the pipeline."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from shared import ROOT, TINY, fetched, merged, photograph

from pipeline_src.deployment import cards, reference, runtimes
from pipeline_src.imaging.images import read_image
from pipeline_src.weights import load_tensors

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]

SYSTEM = "mynet_x3"
SIZE = [24, 32]


def code_block(language: str) -> str:
    """Return the one code block of the page in a language."""
    page = (ROOT / "docs/adding-a-model.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(block)


def torch_net(weights: Path) -> torch.nn.Module:
    """Return the trained net, built by the code of the page."""
    namespace: dict[str, Any] = {}
    exec(code_block("python"), namespace)
    tensors, metadata = load_tensors(weights)
    net: torch.nn.Module = namespace["build"](metadata["scales"], **metadata["net"])
    net.load_state_dict(tensors)
    return net.eval()


@pytest.fixture
def folder(workspace: Make, train_h5: Path) -> Path:
    """A workspace with the package, extended by the file of the page, and params.yaml, extended by its entry."""
    systems = yaml.safe_load(code_block("yaml"))
    tiny = {"train": TINY, "qat": TINY, "benchmark_size": SIZE}
    folder = workspace(
        merged(systems, {"systems": {SYSTEM: tiny}})
        | {
            "quantize": {"calibration_images": 2, "calibration_crop": 32},
            "benchmark": {
                "threads": 1, "sweep": [1], "warmup": 1, "runs": 2, "interval": 9, "min_seconds": 0, "crops": 1,
                "crop_size": 16,
            },
        }
    )  # fmt: skip
    shutil.copytree(ROOT / "pipeline_src", folder / "pipeline_src")  # with what is compiled
    model = folder / "pipeline_src/models" / systems["systems"][SYSTEM]["model"] / "__init__.py"
    model.parent.mkdir()
    model.write_text(code_block("python"))
    (folder / "results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, folder / "results/build_h5/train.h5")
    fetched(folder, "samples_heldout", a=Image.fromarray(photograph("astronaut.png")[60:120, 200:272]))
    return folder


@pytest.mark.slow
def test_the_model_of_the_page_is_trained_quantised_exported_and_measured(folder: Path, stage: Stage) -> None:
    for name in ("train", "quantize", "export", "benchmark"):
        done = stage(folder, name, SYSTEM, PYTHONPATH=str(folder))
        assert done.returncode == 0, done.stderr
    exported = folder / "results/export" / SYSTEM
    files = cards.read_folder(exported)
    assert {(card.variant, card.format) for card in files.values()} == {
        *((variant, runtime) for variant in ("fp32", "ptq", "qat") for runtime in ("onnx", "openvino", "tflite")),
        ("fp32", "openvino_fp16"),
    }
    lr = read_image(exported / reference.LR_FILE)
    net = torch_net(folder / "results/nets" / SYSTEM / "weights.safetensors")
    by_torch = runtimes.in_torch(net, 3)(lr)
    for file, card in files.items():
        if card.size is None:  # the file takes any size, so also that of the reference image
            sr = runtimes.load(file, 1)(lr)
            assert reference.compare(sr, read_image(exported / card.reference)).agrees, file.name
            if card.variant == "fp32":
                assert abs(sr.astype(int) - by_torch).max() <= 1, file.name
    rows = np.genfromtxt(
        folder / "results/benchmark" / SYSTEM / "benchmark.csv", delimiter=",", names=True, dtype=None, encoding="utf8"
    )
    assert {*rows["variant"]} == {"bicubic", "fp32", "ptq", "qat"}
