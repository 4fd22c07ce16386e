"""The stage benchmark, run as its command on the exported files of a small net."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from exported import SIZE, export
from PIL import Image
from shared import ROOT, fetched, photograph

Make = Callable[..., Path]
Stage = Callable[..., "subprocess.CompletedProcess[str]"]

QUALITY = ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "psnr_rgb_shave1"]
COSTS = [
    "lr_height", "lr_width", "threads", "runs", "p50_ms", "p90_ms", "iqr_ms", "p50_low_ms", "p50_high_ms", "settled",
    "infer_p50_ms", "infer_p90_ms", "infer_iqr_ms", "infer_p50_low_ms", "infer_p50_high_ms", "infer_settled", "file",
    "sha256", "file_bytes", "peak_memory_mb", "params", "mult_adds", "weights", "dtype",
]  # fmt: skip
AGREEMENT = ["off_levels", "off_share", "off_psnr", "disagrees"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_and_its_columns(workspace: Make, stage: Stage) -> None:
    folder = workspace(
        {
            "benchmark": {
                "threads": 1, "sweep": [1], "warmup": 1, "runs": 1, "min_seconds": 0, "max_seconds": 0.2, "crops": 1,
                "crop_size": 16,
            }
        }
    )  # fmt: skip
    fetched(folder, "samples_heldout", a=Image.fromarray(photograph("astronaut.png")[60:132, 200:290]))
    export("abpn", folder / "results/export/small", SIZE)
    for card in (folder / "results/export/small").glob("*.xml.json"):  # two formats are enough to measure
        card.unlink()
    done = stage(folder, "benchmark", "small")
    assert done.returncode == 0, done.stderr

    out = folder / "results/benchmark/small"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "benchmark.csv",
        *(f"crops/samples_heldout_a_x3/{name}.png" for name in ("bicubic", "fp32", "hr", "ptq")),
        "images.csv",
        "machine.json",
        "threads.csv",
    ]
    table, images, threads = (rows(out / name) for name in ("benchmark.csv", "images.csv", "threads.csv"))
    key = ["system", "variant", "runtime", "scale"]
    assert list(table[0]) == [*key, "set", "images", *QUALITY, *COSTS, *AGREEMENT, "fails"]
    assert list(images[0]) == [*key, "set", "image", *QUALITY]
    timing = ["runs", "p50_ms", "p90_ms", "iqr_ms", "p50_low_ms", "p50_high_ms", "settled"]
    assert list(threads[0]) == [*key, "lr_height", "lr_width", "threads", *timing]
    upscalers = [("bicubic", ""), ("fp32", "onnx"), ("fp32", "tflite"), ("ptq", "onnx"), ("ptq", "tflite")]
    assert [(row["variant"], row["runtime"]) for row in table] == upscalers
    assert [(row["variant"], row["runtime"]) for row in images] == upscalers
    assert [(row["variant"], row["runtime"]) for row in threads] == upscalers[1:]
    for one_image, mean in zip(images, table, strict=True):
        assert [one_image[column] for column in QUALITY] == [mean[column] for column in QUALITY]


def test_torch_is_not_imported_where_no_learned_downscaler_is_measured() -> None:
    script = "import sys; from pipeline_src.benchmarking import quality, tables; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_system_that_was_not_exported_is_one_sentence(workspace: Make, stage: Stage) -> None:
    folder = workspace()
    fetched(folder, "samples_heldout", a=Image.new("L", (48, 48)))
    done = stage(folder, "benchmark", "abpn_x3")
    assert done.returncode == 1
    assert done.stderr == (
        "error: results/export/abpn_x3 holds no exported file with a card; run the stage export first\n"
    )
