"""Measuring latency in turns."""

import time
from collections import Counter
from functools import partial

import numpy as np

from pipeline_src.benchmarking.latency import TURN, in_turns, summary


def test_summary_returns_percentiles() -> None:
    latency = summary([float(ms) for ms in range(1, 102)])
    assert (latency.runs, latency.p50_ms, latency.p90_ms, latency.iqr_ms) == (101, 51.0, 91.0, 50.0)


def test_variants_run_in_turns_after_their_warm_up() -> None:
    """The first call of each turn wakes the threads and is not counted."""
    order: list[str] = []

    def call(name: str) -> dict[str, float]:
        order.append(name)
        return {"total": len(order), "part": 1.0}

    times = in_turns(
        {name: lambda name=name: call(name) for name in "ab"}, warmup=2, runs=4, min_seconds=0, max_seconds=9
    )  # type: ignore[misc]
    assert order == [*"aabb", *"aaaabbbb" * 2]
    assert times["a"]["total"].p50_ms == np.median([6, 7, 8, 14, 15, 16])
    assert times["b"]["total"].p50_ms == np.median([10, 11, 12, 18, 19, 20])
    assert times["a"]["part"].runs == 6


def test_runs_continue_for_the_minimum_duration() -> None:
    def call() -> dict[str, float]:
        time.sleep(0.002)
        return {"total": 2.0}

    times = in_turns({"a": call}, warmup=1, runs=1, min_seconds=0.05, max_seconds=9)
    assert times["a"]["total"].runs > TURN, "one turn would be enough for the runs"


def test_a_slow_variant_stops_early_and_the_fast_one_continues() -> None:
    calls = Counter[str]()

    def call(name: str, seconds: float) -> dict[str, float]:
        calls[name] += 1
        time.sleep(seconds)
        return {"total": 1e3 * seconds}

    variants = {"slow": partial(call, "slow", 0.03), "fast": partial(call, "fast", 0)}
    times = in_turns(variants, warmup=2, runs=4, min_seconds=0, max_seconds=0.02)
    assert times["slow"]["total"].runs == 1
    assert times["fast"]["total"].runs == 6
    assert calls == {"slow": 1 + 2, "fast": 2 + 8}
