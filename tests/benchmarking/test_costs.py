"""Latency, memory and size of exported files, and latency for several numbers of threads."""

from dataclasses import fields
from pathlib import Path

import pytest
from exported import SIZE

from pipeline_src import config
from pipeline_src.benchmarking.costs import SWEEP_COLUMNS, Costs, measure_costs, sweep_threads
from pipeline_src.benchmarking.keys import KEY_COLUMNS
from pipeline_src.benchmarking.latency import upscaling_call
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card

Files = dict[Path, Card]


def test_there_is_one_row_per_format_for_its_file_of_fixed_size_if_it_has_one(
    exported: Files, spec: config.Benchmark
) -> None:
    rows = list(measure_costs(exported, spec))
    assert all(list(row) == [*KEY_COLUMNS, *(field.name for field in fields(Costs))] for row in rows)
    files = {(row["variant"], row["runtime"]): row["file"] for row in rows}
    assert len(rows) == len(files)
    assert files == {
        ("fp32", "onnx"): "fp32_x3.onnx",
        ("fp32", "openvino"): "fp32_x3.xml",
        ("fp32", "openvino_fp16"): "fp32_x3_fp16.xml",
        ("fp32", "tflite"): "fp32_x3_24x40.tflite",
        ("ptq", "onnx"): "ptq_x3.onnx",
        ("ptq", "openvino"): "ptq_x3.xml",
        ("ptq", "tflite"): "ptq_x3_24x40.tflite",
    }
    folder = next(iter(exported)).parent
    for row in rows:
        assert (row["lr_height"], row["lr_width"], row["threads"]) == (*SIZE, 1)
        assert row["runs"] >= 1
        assert 0 < row["infer_p50_ms"] <= row["p50_ms"] <= row["p90_ms"]
        assert 0 < row["p50_low_ms"] <= row["p50_ms"] <= row["p50_high_ms"]
        assert 0 < row["infer_p50_low_ms"] <= row["infer_p50_ms"] <= row["infer_p50_high_ms"]
        assert row["settled"] is (row["runs"] >= 30)
        assert row["peak_memory_mb"] > 0
        assert (row["params"], row["mult_adds"]) == (1, 1)  # of the cards
        parts = [folder / row["file"], *folder.glob(row["file"].replace(".xml", ".bin"))]
        assert row["file_bytes"] == sum(part.stat().st_size for part in set(parts))


def test_the_sweep_times_every_file_at_every_number_of_threads(exported: Files, spec: config.Benchmark) -> None:
    files = {file: card for file, card in exported.items() if card.format in ("onnx", "tflite")}
    rows = list(sweep_threads(files, spec))
    assert all(list(row) == SWEEP_COLUMNS for row in rows)
    assert [(row["variant"], row["runtime"], row["threads"]) for row in rows] == [
        (variant, runtime, threads)
        for variant in ("fp32", "ptq")
        for runtime in ("onnx", "tflite")
        for threads in (1, 2)
    ]
    assert all((row["lr_height"], row["lr_width"]) == SIZE and row["p50_ms"] > 0 for row in rows)
    assert list(sweep_threads(files, spec.model_copy(update={"sweep": []}))) == []


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_the_time_of_the_runtime_is_part_of_the_total(exported: Files, suffix: str) -> None:
    file = next(file for file, card in exported.items() if file.suffix == suffix and not card.size)
    times = upscaling_call(runtimes.load(file, 1), 16, 24)()
    assert set(times) == {"total", "infer"}
    assert 0 < times["infer"] < times["total"]
