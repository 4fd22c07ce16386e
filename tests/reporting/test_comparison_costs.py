"""Latency, memory and size of two states, and files that fail or give another image."""

from pathlib import Path
from typing import Any

import pytest
from made_states import compared, found, image_rows, only, write_device, write_state

from pipeline_src.errors import UserError
from pipeline_src.reporting.comparison.changes import BETTER, INCOMPARABLE, SAME, WORSE, File

FASTER = {"p50_ms": 8.0, "p50_low_ms": 7.9, "p50_high_ms": 8.1}
SLOWER = {"p50_ms": 12.0, "p50_low_ms": 11.8, "p50_high_ms": 12.2}
OVERLAPPING = {"p50_ms": 12.0, "p50_low_ms": 10.1, "p50_high_ms": 13.9}
SLIGHTLY = {"p50_ms": 10.4, "p50_low_ms": 10.3, "p50_high_ms": 10.5}
NONE = dict.fromkeys(FASTER, "") | {"settled": ""}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_state(tmp_path / "base")


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [({}, SAME), (FASTER, BETTER), (SLOWER, WORSE), (OVERLAPPING, SAME), (SLIGHTLY, SAME)],
    ids=["as it was", "faster", "slower", "the intervals overlap", "below the tolerance"],
)
def test_latency_by_intervals(base: Path, tmp_path: Path, cells: dict[str, Any], verdict: str) -> None:
    comparison = compared(base, write_state(tmp_path / "new", **cells))
    assert only(comparison, "p50_ms").verdict == verdict
    assert found(comparison, WORSE) + found(comparison, BETTER) == [("qat", "tflite", "p50_ms")] * (verdict != SAME)


def test_the_least_slowdown_is_chosen(base: Path, tmp_path: Path) -> None:
    new = write_state(tmp_path / "new", **SLIGHTLY)
    assert only(compared(base, new, latency=3.0), "p50_ms").verdict == WORSE
    assert only(compared(new, base, latency=3.0), "p50_ms").verdict == BETTER


@pytest.mark.parametrize(
    ("machine", "cells", "reason"),
    [
        ({"cpu": "B"}, SLOWER, "CPU A in base, B in new"),
        ({"cpu_features": "avx2 avx_vnni"}, SLOWER, "CPU features avx2 in base, avx2 avx_vnni in new"),
        ({"cores": 64}, SLOWER, "cores 2 in base, 64 in new"),
        ({}, SLOWER | {"threads": 4}, "threads 2 in base, 4 in new"),
        ({}, SLOWER | {"lr_width": 640}, "width of the timed image 320 in base, 640 in new"),
        ({}, SLOWER | {"settled": False}, "not settled in new"),
        ({}, NONE, "not measured in both"),
    ],
)
def test_latencies_that_cannot_be_compared_say_why(
    base: Path, tmp_path: Path, machine: dict[str, Any], cells: dict[str, Any], reason: str
) -> None:
    change = only(compared(base, write_state(tmp_path / "new", machine=machine, **cells)), "p50_ms")
    assert change.verdict == INCOMPARABLE
    assert change.reason.startswith(reason)


def test_memory_of_another_machine_is_not_compared_but_size_is(base: Path, tmp_path: Path) -> None:
    larger = {"peak_memory_mb": 60.0, "file_bytes": 52_000}
    assert found(compared(base, write_state(tmp_path / "new", **larger)), WORSE) == [
        ("qat", "tflite", "peak_memory_mb"),
        ("qat", "tflite", "file_bytes"),
    ]
    elsewhere = write_state(tmp_path / "elsewhere", machine={"cpu": "B"}, **larger)
    assert found(compared(base, elsewhere), WORSE) == [("qat", "tflite", "file_bytes")]
    assert found(compared(elsewhere, base), BETTER) == [("qat", "tflite", "file_bytes")]


def test_a_file_that_disagrees_or_fails_is_worse(base: Path, tmp_path: Path) -> None:
    disagrees = compared(base, write_state(tmp_path / "disagrees", disagrees="gives another image"))
    assert found(disagrees, WORSE) == [("qat", "tflite", "disagrees")]
    assert disagrees.has_worse("quality")
    assert disagrees.has_worse("latency")
    kept = [row for row in image_rows() if (row["variant"], row["runtime"]) != ("qat", "tflite")]
    fails = compared(base, write_state(tmp_path / "fails", images=kept, fails="crashes (signal 11)", **NONE))
    assert [change for change in fails.changes if change.file.variant == "qat"] == fails.of(WORSE)
    assert only(fails, "fails").reason == "crashes (signal 11)"
    assert found(compared(tmp_path / "fails", base), BETTER) == [("qat", "tflite", "fails")]


def test_what_counts_can_be_chosen(base: Path, tmp_path: Path) -> None:
    slower = compared(base, write_state(tmp_path / "slower", **SLOWER))
    assert [slower.has_worse(kind) for kind in ("any", "quality", "latency")] == [True, False, True]
    larger = compared(base, write_state(tmp_path / "larger", file_bytes=90_000))
    assert [larger.has_worse(kind) for kind in ("any", "quality", "latency")] == [True, False, False]


def test_nets_that_are_new_or_gone_are_listed(base: Path, tmp_path: Path) -> None:
    new = write_state(write_state(tmp_path / "new"), "abpn_x3/l1_50")
    comparison = compared(base, new)
    assert comparison.added == [
        File("here", "abpn_x3/l1_50", variant, runtime, 3)
        for variant, runtime in (("fp32", "onnx"), ("fp32", "tflite"), ("qat", "tflite"))
    ]
    assert comparison.gone == []
    assert not comparison.has_worse()
    assert compared(new, base).gone == comparison.added
    with pytest.raises(UserError, match="have no file in common"):
        compared(base, write_state(tmp_path / "other", "other"))


def test_each_device_is_compared_with_itself(base: Path, tmp_path: Path) -> None:
    new = write_state(tmp_path / "new")
    for state, p50_ms in ((base, 5.0), (new, 7.0)):
        write_device(state, "phone", p50_ms)
    write_device(new, "board", 50.0)
    comparison = compared(base, new)
    slower = only(comparison, "p50_ms", "tflite_gpu")
    assert (slower.verdict, slower.file.device, slower.base, slower.new) == (WORSE, "phone", 5.0, 7.0)
    assert only(comparison, "file_bytes", "tflite_gpu").verdict == SAME
    assert only(comparison, "p50_ms").verdict == SAME, "here it is as fast as it was"
    assert {file.device for file in comparison.added} == {"board"}
