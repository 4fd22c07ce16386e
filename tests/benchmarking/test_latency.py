"""Measuring latency in turns."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import comb, inf, isnan
from typing import Any

import numpy as np
import pytest

from pipeline_src.benchmarking.latency import SETTLED_RUNS, TURN, in_turns, median_interval, median_rank, summary

# Runs, and the rank r with which the r-th smallest and the r-th largest value enclose the median in 95 % of cases or
# more, from tables of the binomial distribution with p = 1/2. With five values, even the outermost do so in 93.75 %.
RANKS = {6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 15: 4, 17: 5, 20: 6, 25: 8, 30: 10, 50: 18, 100: 40}


def test_summary_returns_percentiles() -> None:
    latency = summary([float(ms) for ms in range(1, 102)], 0.03)
    assert (latency.runs, latency.p50_ms, latency.p90_ms, latency.iqr_ms) == (101, 51.0, 91.0, 50.0)
    assert (latency.p50_low_ms, latency.p50_high_ms) == (41.0, 61.0)


@pytest.mark.parametrize(("runs", "rank"), RANKS.items())
def test_the_interval_of_the_median_has_the_ranks_of_binomial_tables(runs: int, rank: int) -> None:
    assert median_rank(runs) == rank
    times = [float(ms) for ms in np.random.default_rng(0).permutation(runs) + 1]
    assert median_interval(times) == (rank, runs + 1 - rank)


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5])
def test_fewer_than_six_calls_have_no_interval(runs: int) -> None:
    latency = summary([1.0] * runs, inf)
    assert isnan(latency.p50_low_ms)
    assert isnan(latency.p50_high_ms)
    assert not latency.settled


def test_the_interval_covers_the_median_in_95_of_100_measurements_or_more() -> None:
    random = np.random.default_rng(0)
    for runs in (6, 9, 30):
        intervals = np.array([median_interval(list(random.lognormal(size=runs))) for _ in range(4000)])
        covered = ((intervals[:, 0] <= 1) & (intervals[:, 1] >= 1)).mean()  # a lognormal's median is 1
        exact = 1 - 2 * sum(comb(runs, below) for below in range(median_rank(runs))) / 2**runs
        assert exact >= 0.95
        assert abs(covered - exact) < 4 * (exact * (1 - exact) / 4000) ** 0.5


@pytest.mark.parametrize(
    ("runs", "spread", "settled"),
    [(SETTLED_RUNS, 0.02, True), (SETTLED_RUNS - 1, 0.02, False), (SETTLED_RUNS, 0.2, False), (1000, 0.2, True)],
)
def test_a_figure_is_settled_with_enough_calls_and_a_narrow_interval(runs: int, spread: float, settled: bool) -> None:
    times = [float(ms) for ms in np.random.default_rng(0).normal(10, 10 * spread, runs)]
    assert summary(times, 0.03).settled is settled


def test_variants_run_in_turns_after_their_warm_up() -> None:
    """The first call of each turn wakes the threads and is not counted."""
    order: list[str] = []

    def call(name: str) -> dict[str, float]:
        order.append(name)
        return {"total": len(order), "part": 1.0}

    times = in_turns(
        {name: lambda name=name: call(name) for name in "ab"},  # type: ignore[misc]
        warmup=2, runs=4, interval=9, min_seconds=0, max_seconds=9,
    )  # fmt: skip
    turn = 1 + TURN
    assert order == [*"aabb", *("a" * turn + "b" * turn) * 2]
    of_a, of_b = ([*range(first, first + TURN), *range(first + 2 * turn, first + 2 * turn + TURN)] for first in (6, 12))
    assert times["a"]["total"].p50_ms == np.median(of_a)
    assert times["b"]["total"].p50_ms == np.median(of_b)
    assert times["a"]["part"].runs == 2 * TURN


def test_runs_continue_for_the_minimum_duration() -> None:
    def call() -> dict[str, float]:
        time.sleep(0.002)
        return {"total": 2.0}

    times = in_turns({"a": call}, warmup=1, runs=1, interval=9, min_seconds=0.05, max_seconds=9)
    assert times["a"]["total"].runs > 2 * TURN, "two turns would be enough for the runs and the interval"


def test_a_slow_variant_stops_early_and_the_fast_one_continues() -> None:
    calls = Counter[str]()

    def call(name: str, seconds: float) -> dict[str, float]:
        calls[name] += 1
        time.sleep(seconds)
        return {"total": 1e3 * seconds}

    variants = {"slow": partial(call, "slow", 0.03), "fast": partial(call, "fast", 0)}
    times = in_turns(variants, warmup=2, runs=4, interval=9, min_seconds=0, max_seconds=0.02)
    assert times["slow"]["total"].runs == 1
    assert times["fast"]["total"].runs == 2 * TURN
    assert calls == {"slow": 1 + 2, "fast": 2 + 2 * (1 + TURN)}
    assert not times["slow"]["total"].settled


def made_up(*sequences: list[float]) -> tuple[dict[str, Callable[[], dict[str, float]]], list[str]]:
    """Return variants that report made-up times, repeated without end, and the order in which they are called."""
    order: list[str] = []

    def call(name: str, times: list[float]) -> dict[str, float]:
        order.append(name)
        return {"total": times[order.count(name) % len(times)]}

    return {name: partial(call, name, times) for name, times in zip("abc", sequences, strict=False)}, order


LIMITS: dict[str, Any] = {"warmup": 1, "runs": 30, "interval": 0.03, "min_seconds": 0, "max_seconds": 9}


def test_a_steady_variant_leaves_the_turns_and_an_unsteady_one_goes_on_until_its_interval_is_narrow() -> None:
    random = np.random.default_rng(0)
    calls, order = made_up([10.0, 10.1, 9.9], list(random.normal(20, 4, 1000)))
    times = in_turns(calls, **LIMITS)
    steady, unsteady = times["a"]["total"], times["b"]["total"]
    assert steady.runs == 30
    assert unsteady.runs > 90
    for latency in (steady, unsteady):
        assert latency.settled
        assert latency.p50_high_ms <= 1.03 * latency.p50_ms
        assert latency.p50_low_ms >= 0.97 * latency.p50_ms
    turn = 1 + TURN
    turns = LIMITS["runs"] // TURN
    beside = 2 + 2 * turns * turn
    assert order[:beside] == [*"ab", *("a" * turn + "b" * turn) * turns], "the first 30 calls are made side by side"
    assert set(order[beside:]) == {"b"}


def test_a_variant_that_is_never_steady_stops_at_the_limit_and_is_not_settled() -> None:
    calls, _ = made_up(list(np.random.default_rng(0).uniform(10, 50, 1000)))

    def slow() -> dict[str, float]:
        time.sleep(0.001)
        return calls["a"]()

    latency = in_turns({"a": slow}, **LIMITS | {"max_seconds": 0.2})["a"]["total"]
    assert 0 < latency.runs <= 200
    assert not latency.settled


def test_every_part_of_a_call_has_to_be_steady() -> None:
    random = np.random.default_rng(0)

    def call() -> dict[str, float]:
        return {"total": 10.0, "infer": float(random.normal(8, 1))}

    times = in_turns({"a": call}, **LIMITS)["a"]
    assert times["total"].runs == times["infer"].runs > 30
    assert times["infer"].settled
