"""Benchmark folders as the benchmark stage leaves them: the report's input. Photographs are real, timings invented."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SETS = ("samples_heldout", "Set5")
BICUBIC = {"samples_heldout": 27.31, "Set5": 30.40}
GAINS = {"abpn_x3": {"fp32": 0.95, "ptq": 0.71, "qat": 0.89}, "small_x3": {"fp32": 0.31, "ptq": -0.12, "qat": 0.0}}
MS = {
    "fp32": {"tflite": 78.2, "onnx": 61.0, "openvino": 58.4, "torch": 95.0},
    "ptq": {"tflite": 25.1, "onnx": 59.5, "openvino": 24.0, "torch": 180.0},
    "qat": {"tflite": 24.9, "onnx": 72.0, "openvino": 31.0, "torch": 181.0},
}
KIB = {"fp32": 172, "ptq": 54, "qat": 55}
PARAMS = {
    "abpn_x3": {"channels": 28, "depth": 4},
    "small_x3": {"channels": 12, "depth": 2},
}


def benchmark_rows(system: str) -> list[dict[str, object]]:
    rows = []
    for name in SETS:
        place = {"system": system, "scale": 3, "set": name, "images": 5}
        psnr = BICUBIC[name]
        rows.append(place | {"variant": "bicubic", "psnr_y": psnr, "ssim_y": 0.81, "psnr_rgb": psnr - 1.7})
        for variant, gain in GAINS[system].items():
            for runtime, ms in MS[variant].items():
                speed = 1 if system == "abpn_x3" else 0.4
                rows.append(
                    place
                    | {"variant": variant, "runtime": runtime, "lr_height": 360, "lr_width": 640, "threads": 2}
                    | {"psnr_y": psnr + gain, "ssim_y": 0.81 + gain / 50, "psnr_rgb": psnr - 1.7 + gain, "runs": 50}
                    | {"p50_ms": speed * ms, "p90_ms": speed * ms * 1.08, "iqr_ms": speed * ms * 0.03}
                    | {"file": f"{variant}_x3.{runtime}", "file_bytes": 1024 * KIB[variant], "peak_memory_mb": 141.2}
                    | {"params": 42539, "mult_adds": 4343750656}
                )
    return rows


def write_crops(folder: Path) -> None:
    from skimage import data

    photographs = {
        ("samples_heldout", "chelsea"): (data.chelsea(), 40, 110),
        ("samples_heldout", "coffee"): (data.coffee(), 60, 160),
        ("Set5", "astronaut"): (data.astronaut(), 10, 120),
        ("Set5", "rocket"): (data.rocket(), 60, 200),
    }
    for (name, image), (photograph, top, left) in photographs.items():
        hr = Image.fromarray(photograph[top : top + 240, left : left + 240])
        bicubic = hr.resize((80, 80), Image.Resampling.BICUBIC).resize(hr.size, Image.Resampling.BICUBIC)
        fp32 = Image.blend(bicubic, hr, 0.5)
        int8 = Image.fromarray((np.asarray(fp32) // 4 * 4).astype(np.uint8))
        place = folder / f"{name}_{image}_x3"
        place.mkdir(parents=True)
        for variant, pixels in {"hr": hr, "bicubic": bicubic, "fp32": fp32, "ptq": int8, "qat": int8}.items():
            pixels.save(place / f"{variant}.png")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params.yaml and the benchmarks of two systems, and of a third that params no longer has."""
    import yaml

    root = tmp_path_factory.mktemp("original")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sets"] = {"samples": {"role": "training"}} | {name: {"role": "evaluation"} for name in SETS}
    params["systems"] = {name: params["systems"]["abpn_x3"] | {"net": net} for name, net in PARAMS.items()}
    params["report"] = {"title": "Super-resolution <at> the edge", "crops": 4}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    machine = {
        "cpu": "Model <9> & Co @ 2.10GHz",
        "cores": 2,
        "memory_gib": 7.8,
        "versions": {"onnxruntime": "1.23.0", "ai-edge-litert": "2.0.3"},
        "measured": "2026-01-02T03:04:05+00:00",
    }
    for system in GAINS:
        folder = root / "results" / "benchmark" / system
        folder.mkdir(parents=True)
        pd.DataFrame(benchmark_rows(system)).to_csv(folder / "benchmark.csv", index=False)
        (folder / "machine.json").write_text(json.dumps(machine))
        write_crops(folder / "crops")
    shutil.copytree(folder, folder.with_name("gone_x3"))
    return root


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    monkeypatch.setenv("SR_TRACKING", "off")
    return root


@pytest.fixture
def repository(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``original`` to change, as the working folder."""
    return enter(shutil.copytree(original, tmp_path / "repository"), monkeypatch)


@pytest.fixture(scope="module")
def site(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished report of a copy of ``original``, which is the working folder meanwhile."""
    from pipeline_src.stages.report import report

    with pytest.MonkeyPatch.context() as monkeypatch:
        root = enter(shutil.copytree(original, tmp_path_factory.mktemp("site") / "repository"), monkeypatch)
        report()
        yield root / "results" / "report"
