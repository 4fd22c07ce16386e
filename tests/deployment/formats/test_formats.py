"""Formats: their common interface, and how a new one is added."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shared import ROOT, photograph

from pipeline_src.deployment.formats import FORMATS, format_of, onnx, openvino, openvino_fp16, tflite
from pipeline_src.errors import UserError

# Export a small net, open, inspect and measure its files of one format, with the functions that the stages use.
PROGRAM = """
import json, sys
from dataclasses import asdict
from pathlib import Path

from exported import export
from pipeline_src.benchmarking import machine
from pipeline_src.benchmarking.latency import in_turns, timed
from pipeline_src.benchmarking.memory import peak_memory_mb
from pipeline_src.microbenchmarks.operators import operators
from pipeline_src.deployment import cards, reference, runtimes
from pipeline_src.exporting import inventory
from pipeline_src.deployment.formats import FORMATS, format_of, try_out
from pipeline_src.imaging.images import read_image


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    export("abpn", folder, (24, 40))
    files = {file: card for file, card in cards.read_folder(folder).items() if card.format == name}
    memory = peak_memory_mb(files, 8, 8, 1)
    report = {}
    for file, card in files.items():
        runner = runtimes.load(file, 1)
        sr = runner(read_image(folder / reference.LR_FILE))
        lr = runner.to_input(reference.lr_image(8, 8))
        latency = in_turns(
            {"net": timed(lambda: runner.infer(lr)), "raw": timed(format_of(file).raw_call(file, (8, 8), 1))},
            warmup=1, runs=3, interval=9, min_seconds=0, max_seconds=60,
        )
        report[file.name] = {
            "card": asdict(card),
            "off": reference.compare(sr, read_image(folder / card.reference)).levels,
            "inventory": {row["op"]: row["count"] for row in inventory.rows(file)},
            "p50_ms": [timing["ms"].p50_ms for timing in latency.values()],
            "memory": memory[file],
        }
    single = folder / f"operator{FORMATS[name].SUFFIX}"
    FORMATS[name].write(operators(8, 8, int8=False)["sum of two"], single, (8, 8))
    report["operator"] = [asdict(operator) for operator in inventory.operators(single)]
    format_of(single).raw_call(single, (8, 8), 1)()
    report["fails"] = len(try_out([*files, single]))
    report["versions"] = machine.describe(1)["versions"]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Copy the package, add a format to it, and return its folder and an environment in which Python imports it."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "pipeline_src", folder / "pipeline_src")  # with what is compiled
    formats = folder / "pipeline_src/deployment/formats"
    shutil.copy(Path(__file__).with_name("numpy_runtime.py"), formats)
    text = (formats / "__init__.py").read_text()
    for old, new in (
        ("import onnx,", "import numpy_runtime, onnx,"),
        ("FORMATS: dict[str, Format] = {\n", 'FORMATS: dict[str, Format] = {\n    "numpy": numpy_runtime,\n'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (formats / "__init__.py").write_text(text)
    paths = [folder, ROOT / "tests", ROOT / "tests/deployment"]
    return folder, os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_new_format_needs_one_file_and_one_entry(extended: tuple[Path, dict[str, str]]) -> None:
    folder, environment = extended
    (folder / "files").mkdir()
    (folder / "program.py").write_text(PROGRAM)
    report: dict[str, Any] = json.loads(run(folder, environment, "program.py", "numpy", "files").splitlines()[-1])
    assert report.pop("fails") == 0
    assert report.pop("operator") == [{"name": "Add", "activations": ["float32"], "constants": []}]
    assert report.pop("versions")["onnx"]
    (measured,) = report.values()
    assert list(report) == ["fp32_x3.numpy"]
    assert measured["off"] <= 1
    assert measured["inventory"]["Conv"] == 5
    assert all(milliseconds > 0 for milliseconds in measured["p50_ms"])
    assert measured["memory"] > 0
    assert set(measured["card"]["files"]) == {"fp32_x3.numpy"}
    assert set(measured["card"]["versions"]) == {"onnx"}
    Image.fromarray(photograph("coffee.png")[:20, :30]).save(folder / "files/photo.png")
    run(folder / "files", environment, "-c", measured["card"]["example"])
    assert Image.open(folder / "files/large.png").size == (90, 60)


def test_the_longest_matching_suffix_decides_the_format() -> None:
    formats = {"fp32_x3.onnx": onnx, "fp32_x3.xml": openvino, "fp32_x3_fp16.xml": openvino_fp16, "a_8x8.tflite": tflite}
    for name, expected in formats.items():
        assert format_of(Path(name)) is expected
    assert set(formats.values()) == set(FORMATS.values())
    with pytest.raises(
        UserError, match=r"a\.bin is no model file; give one that ends in \.safetensors, \.onnx, \.xml, "
    ):
        format_of(Path("a.bin"))


def test_importing_the_formats_imports_no_heavy_library() -> None:
    libraries = "'ai_edge_litert', 'flatbuffers', 'numba', 'onnx', 'onnxruntime', 'openvino', 'torch'"
    program = f"import sys, pipeline_src.deployment.formats; print(*{{{libraries}}} & {{*sys.modules}})"
    assert run(ROOT, os.environ | {"PYTHONPATH": str(ROOT)}, "-c", program).split() == []


def test_labels_and_suffixes_are_unique() -> None:
    for attribute in ("LABEL", "SUFFIX"):
        assert len({getattr(file_format, attribute) for file_format in FORMATS.values()}) == len(FORMATS)
