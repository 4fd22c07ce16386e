"""Two states of a small pipeline: made-up tables as the stage benchmark writes them."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from pipeline_src.files import write_json
from pipeline_src.reporting.comparison import measurements
from pipeline_src.reporting.comparison.changes import Change
from pipeline_src.reporting.comparison.compared import Comparison, compare
from pipeline_src.reporting.comparison.tolerances import Tolerances
from pipeline_src.tables import write_table

MACHINE = {"cpu": "A", "cpu_features": "avx2", "cores": 2, "threads": 2, "measured": "2026-01-02T03:04:05+00:00"}
FILES = (("fp32", "onnx"), ("fp32", "tflite"), ("qat", "tflite"))
SETS = {"Set5": 5, "one": 1}  # images
PSNR = {"bicubic": 30.0, "fp32": 32.0, "qat": 31.9}
DVC_YAML = """
vars: [{systems: {abpn_x3: {}}}]
stages:
  benchmark:
    foreach: ${systems}
    do:
      cmd: cp -r made/results/benchmark/${key} results/benchmark/${key}
      deps: [made]
      outs: ["results/benchmark/${key}"]
"""


def write_state(
    root: Path,
    net: str = "abpn_x3",
    *,
    images: Sequence[dict[str, Any]] | None = None,
    machine: dict[str, Any] | None = None,
    **cells: Any,
) -> Path:
    """Write ``results/benchmark/<net>``, and return ``root``.

    Args:
        root: the checkout.
        net: name of the net.
        images: rows of images.csv; those of :func:`image_rows` by default.
        machine: what differs from ``MACHINE``; of the file of every runtime.
        cells: what differs in the rows of the file qat tflite of benchmark.csv.
    """
    folder = root / "results/benchmark" / net
    images = image_rows() if images is None else images
    counts = Counter((row["variant"], row["runtime"], row["set"]) for row in images)
    rows = []
    for variant, runtime in (("bicubic", ""), *FILES):
        for name in SETS:
            row = {"system": net, "variant": variant, "runtime": runtime, "scale": 3, "set": name}
            row |= {"images": counts[variant, runtime, name]}
            row |= {"psnr_y": PSNR[variant], "disagrees": "", "fails": ""}
            if runtime:
                row |= {"lr_height": 180, "lr_width": 320, "threads": 2, "runs": 30, "settled": True}
                row |= {"p50_ms": 10.0, "p50_low_ms": 9.8, "p50_high_ms": 10.2}
                row |= {"file_bytes": 51_200, "peak_memory_mb": 45.0}
            rows.append(row | (cells if (variant, runtime) == ("qat", "tflite") else {}))
    write_table(folder / "benchmark.csv", rows)
    write_table(folder / "images.csv", images)
    write_json(folder / "machine.json", MACHINE | (machine or {}))
    return root


def write_device(root: Path, device: str, p50_ms: float, net: str = "abpn_x3") -> None:
    """Write the table of a device that has measured one file of the state in a checkout."""
    folder = root / "results/benchmark/devices" / device
    row = {"system": net, "variant": "qat", "runtime": "tflite_gpu", "format": "tflite", "scale": 3}
    row |= {"lr_height": 180, "lr_width": 320, "threads": 4, "runs": 30, "settled": True}
    row |= {"p50_ms": p50_ms, "p50_low_ms": 0.99 * p50_ms, "p50_high_ms": 1.01 * p50_ms}
    write_table(folder / "measure.csv", [row | {"peak_memory_mb": 40.0, "disagrees": "", "fails": ""}])
    write_json(folder / "machine.json", MACHINE | {"cpu": "of a phone"})


def image_rows(**differences: float) -> list[dict[str, Any]]:
    """Return a row per file and image, where each image has a PSNR of its own.

    Args:
        differences: by how much each image of a variant is better than usual.
    """
    return [
        {"variant": variant, "runtime": runtime, "scale": 3, "set": name, "image": f"{name}_{number}"}
        | {"psnr_y": PSNR[variant] + number + differences.get(variant, 0.0), "ssim_y": 0.9 + number / 100}
        for variant, runtime in (("bicubic", ""), *FILES)
        for name, count in SETS.items()
        for number in range(count)
    ]


def compared(base: Path, new: Path, **tolerances: float) -> Comparison:
    """Compare two checkouts."""
    return compare(measurements.read(str(base)), measurements.read(str(new)), Tolerances(**tolerances))


def found(comparison: Comparison, verdict: str) -> list[tuple[str, ...]]:
    """Return variant, runtime and figure of what has a verdict."""
    return [(change.file.variant, change.file.runtime, change.figure) for change in comparison.of(verdict)]


def only(comparison: Comparison, figure: str, runtime: str = "tflite", variant: str = "qat", name: str = "") -> Change:
    """Return the one change of a figure of a file."""
    (change,) = [
        change
        for change in comparison.changes
        if (change.figure, change.file.runtime, change.file.variant) == (figure, runtime, variant)
        and change.set == name
    ]
    return change


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def repository_of_two_states(folder: Path) -> Path:
    """Make a repository of ``v1`` and the worse ``v2``, also ``main``; their results are in DVC's cache alone."""
    from dvc.repo import Repo

    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / ".gitignore").write_text("/results\n")
    with chdir(folder):
        Repo.init().close()
        for tag, loss in (("v1", 0.0), ("v2", -0.05)):
            for net in ("abpn_x3", "abpn_x3/l1_50"):
                write_state(Path("made"), net, images=image_rows(qat=loss))
            Path("results/benchmark").mkdir(parents=True, exist_ok=True)
            with Repo() as repo:
                repo.reproduce()
            git(folder, "add", "--all")
            git(folder, "commit", "--quiet", "-m", tag)
            git(folder, "tag", tag)
        shutil.rmtree("results")
    return folder
