"""Latency in turns, and the crop that shows an image."""

import time
from collections import Counter
from functools import partial

import numpy as np
import pytest

from pipeline_src.evaluation.images import EvaluationImage
from pipeline_src.evaluation.latency import in_turns, summary


def test_percentiles() -> None:
    latency = summary([float(ms) for ms in range(1, 102)])
    assert (latency.runs, latency.p50_ms, latency.p90_ms, latency.iqr_ms) == (101, 51.0, 91.0, 50.0)


def test_variants_run_in_turns_after_their_warm_up() -> None:
    """Of each turn the first call wakes the threads, and is not counted."""
    order: list[str] = []

    def call(name: str) -> dict[str, float]:
        order.append(name)
        return {"whole": len(order), "part": 1.0}

    times = in_turns(
        {name: lambda name=name: call(name) for name in "ab"}, warmup=2, runs=4, min_seconds=0, max_seconds=9
    )  # type: ignore[misc]
    assert order == [*"aabb", *"aaaabbbb" * 2]
    assert times["a"]["whole"].p50_ms == np.median([6, 7, 8, 14, 15, 16])
    assert times["b"]["whole"].p50_ms == np.median([10, 11, 12, 18, 19, 20])
    assert times["a"]["part"].runs == 6


def test_runs_go_on_for_the_minimum_duration() -> None:
    times = in_turns({"a": lambda: {"whole": 1.0}}, warmup=1, runs=1, min_seconds=0.05, max_seconds=9)
    assert times["a"]["whole"].runs > 1


def test_a_slow_variant_ends_sooner_and_the_fast_one_goes_on() -> None:
    calls = Counter[str]()

    def call(name: str, seconds: float) -> dict[str, float]:
        calls[name] += 1
        time.sleep(seconds)
        return {"whole": 1e3 * seconds}

    variants = {"slow": partial(call, "slow", 0.03), "fast": partial(call, "fast", 0)}
    times = in_turns(variants, warmup=2, runs=4, min_seconds=0, max_seconds=0.02)
    assert times["slow"]["whole"].runs == 1
    assert times["fast"]["whole"].runs == 6
    assert calls == {"slow": 1 + 2, "fast": 2 + 8}


@pytest.mark.parametrize("grey", [False, True])
def test_crop_is_where_the_detail_is(grey: bool) -> None:
    hr = np.full((90, 120, 3), 128, np.uint8)
    hr[60:75, 30:54] = np.random.default_rng(1).integers(0, 255, (15, 24, 3))
    image = EvaluationImage("x", hr[..., 0] if grey else hr, hr[::3, ::3], 3)
    rows, columns = image.crop(8)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (24, 24)
    assert rows.start <= 60 < 75 <= rows.stop
    assert columns.start in (27, 30, 33)


def test_crop_of_an_image_smaller_than_the_crop_is_the_image() -> None:
    hr = np.random.default_rng(1).integers(0, 255, (30, 42, 3), np.uint8)
    assert EvaluationImage("x", hr, hr[::3, ::3], 3).crop(96) == (slice(0, 30), slice(0, 42))
