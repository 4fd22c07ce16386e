"""What benchmark_model prints, read from transcripts that people have published.

The transcripts, as far as they were shown there:
cpu_2020: https://github.com/tensorflow/tensorflow/issues/42507, of a net for super-resolution
gpu_2020: https://github.com/tensorflow/tensorflow/issues/43541
cpu_2025, cpu_without_xnnpack_2025: the page "TensorFlow Lite (LiteRT)" of Texas Instruments' Processor SDK, on an AM62x
npu_2024: the README of Synaptics' and VeriSilicon's delegates (tflite-vx-delegate), on an NPU by an external delegate
not_delegated_2022: https://github.com/tensorflow/tensorflow/issues/56301
crash_2026: https://github.com/alanhc/pixel-bench, of a library that is no delegate
"""

import math
from pathlib import Path

import pytest

from pipeline_src.devices.benchmark_model import Report, described, latency, read

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def transcript(name: str) -> Report | str:
    return read((TRANSCRIPTS / f"{name}.txt").read_text().splitlines())


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("cpu_2020", Report(50, 33.2094, False, 12.8672, partly=False)),
        ("gpu_2020", Report(50, 119.375, False, None, partly=False)),
        ("cpu_2025", Report(50, 899.281, True, 150.141, partly=False)),
        ("cpu_without_xnnpack_2025", Report(50, 1239.807, True, 109.832, partly=False)),
        ("npu_2024", Report(876, 1.09648, False, None, partly=False)),
        ("not_delegated_2022", "the NNAPI delegate runs no part of it"),
        ("crash_2026", "Segmentation fault"),
    ],
)
def test_transcripts_of_old_and_new_versions_are_read(name: str, report: Report | str) -> None:
    assert transcript(name) == report


def test_a_run_of_one_call_has_no_mean_but_its_time() -> None:
    lines = ["INFO: count=1 curr=905463", "INFO: count=1 curr=905000"]
    assert read(lines) == Report(1, 905.0, False, None, partly=False)
    assert read([]) == "benchmark_model prints nothing"


def test_runs_in_turns_give_an_interval_and_a_single_run_gives_none() -> None:
    runs = [Report(5, ms, True, None, partly=False) for ms in (10.0, 10.1, 10.2, 10.1, 10.0, 10.1)]
    several = latency(runs, 0.03)
    assert (several.runs, several.p50_ms, several.p50_low_ms, several.p50_high_ms) == (30, 10.1, 10.0, 10.2)
    assert several.settled
    assert math.isnan(several.p90_ms)
    assert not latency(runs, 0.005).settled
    one = latency([Report(500, 10.0, True, None, partly=False)], 0.03)
    assert math.isnan(one.p50_low_ms)
    assert not one.settled


def test_how_a_latency_came_about_is_told() -> None:
    median, mean = (Report(5, 1.0, is_median, None, partly=False) for is_median in (True, False))
    partly = Report(5, 1.0, True, None, partly=True)
    assert described([median] * 6) == "benchmark_model: medians of 6 runs"
    assert described([mean, partly]) == "benchmark_model: means of 2 runs, partly on the CPU"
