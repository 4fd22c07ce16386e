"""Fixtures for tests of several folders: a small set of bundled nets, a small run, and a cache folder of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline_src import exporting, paths
from pipeline_src.exporting.variants import FloatNet, variants
from pipeline_src.files import sha256, write_json
from pipeline_src.library import bundled
from pipeline_src.models import build
from pipeline_src.tables import write_table
from pipeline_src.weights import save_net

NET = {"channels": 4, "depth": 1}


def save(path: Path, scales: list[int], **metadata: Any) -> None:
    """Write a small ABPN that is no mere copy of its anchor; with scales 2 and 4 a small once-for-all supernet."""
    torch.manual_seed(len(path.stem))
    model, net = ("once_for_all", {"widths": [4, 8], "depths": [1]}) if len(scales) > 1 else ("abpn", NET)
    module: Any = build(model, scales, net)
    if model == "abpn":
        torch.nn.init.xavier_normal_(module.body[-1].weight)
    save_net(path, module, {"model": model, "scales": scales, "net": net, **metadata})


def measured(set_name: str, scale: int, over_bicubic: float) -> dict[str, Any]:
    names = ("set_name", "scale", "variant", "runtime", "psnr_y", "over_bicubic")
    return dict(zip(names, (set_name, scale, "fp32", "torch", 30.0, over_bicubic), strict=True))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled nets: ``good`` and ``bad`` at ×3, a supernet, and one that expects LR images of its own downscaler."""
    folder = tmp_path / "shelf"
    gains = {"good": {3: 1.0}, "bad": {3: -2.0}, "super": {2: 0.5, 4: 0.5}, "learned": {4: 9.0}, "new": {}}
    for name, gain in gains.items():
        downscaler = {"downscaler": {"model": "car"}} if name == "learned" else {}
        save(folder / f"{name}.safetensors", [*gain] or [3], recipe={"steps": 1200, "start": None}, **downscaler)
    (folder / "learned_downscaler.safetensors").write_bytes(b"not opened unless it is used")
    cards = {
        name: {
            "sha256": sha256(folder / f"{name}.safetensors"),
            "measurements": [measured("samples_heldout", scale, dB) for scale, dB in gain.items()],
        }
        for name, gain in gains.items()
        if gain
    }
    write_json(folder / "cards.json", cards)
    monkeypatch.setattr(bundled, "FOLDER", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


@pytest.fixture
def a_run(shelf: Path) -> Path:
    """Results of a run with the net ``good``, of the name of a bundled one, exported in fp32 for ONNX Runtime."""
    weights = paths.weights("good")
    save(weights, [3], origin="trained here", over_bicubic=-0.3)
    write_json(paths.results("quantize", "good") / "metrics.json", {"good": {"fp32": {"over_bicubic": -0.3}}})
    ((graph, facts),) = variants(FloatNet.load("good", weights), {}, {"fp32": {"over_bicubic": -0.3}})
    file = paths.results("export", "good") / "fp32_x3.onnx"
    file.parent.mkdir(parents=True)
    exporting.export_file(graph, "onnx", file, facts)
    columns = ("system", "variant", "runtime", "scale", "set", "psnr_y", "settled", "p50_ms", "lr_height", "lr_width")
    rows = [
        ("good", "bicubic", "", 3, "Set5", 30.0, "", "", "", ""),
        ("good", "fp32", "onnx", 3, "Set5", 29.5, True, 40.25, 360, 640),
        ("good", "fp32", "tflite", 3, "Set5", 29.5, False, 9.0, 360, 640),
    ]
    write_table(
        paths.results("benchmark", "good") / "benchmark.csv", [dict(zip(columns, r, strict=True)) for r in rows]
    )
    return Path.cwd()
