"""Latency, measured by the rules of MLPerf, TFLite's benchmark_model and OpenVINO's benchmark_app.

Threads are pinned; there is a warm-up, a minimum number of runs and a minimum duration, with an upper limit for slow
variants; the result is p50, p90 and IQR instead of a mean. Variants take turns (A B C, A B C, …), so that other load on
the machine affects all of them alike.

A turn is several calls in a row, of which the first does not count: after a pause the threads of a runtime are asleep,
and on a virtual machine they may wake so late that a net of 10 ms runs on one core and takes 20 ms.

The median comes with a 95 % confidence interval that assumes no distribution. A figure is settled when it rests on
:data:`SETTLED_RUNS` calls or more and both ends of the interval are within a share of the median (3 % by default).
A variant is timed until it is settled, or until the upper limit, which leaves it unsettled.

Every variant has the same number of calls in each turn, so their first ``runs`` calls are made side by side. A variant
that needs no more calls then leaves the turns. Its absence does not speed up the others: each turn begins with a pause
and a call that does not count, whoever ran before. What those that go on are exposed to afterwards, those that have
left are not: such load widens an interval, or moves it where it lasts longer than half of the calls.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Runner

Call = Callable[[], dict[str, float]]  # runs a variant once, and returns the milliseconds of its parts by name
Calls = dict[str, Call]  # by the name of the variant

PAUSE = 0.005  # seconds before each turn, after which the previous runtime's threads have stopped spinning
TURN = 5  # timed calls per turn
SETTLED_RUNS = 30  # a figure with fewer timed calls is not settled, however few were asked for


@dataclass(frozen=True)
class Latency:
    """Latency in milliseconds over ``runs`` calls.

    Attributes:
        runs: number of timed calls.
        p50_ms: the median.
        p90_ms: the 90th percentile.
        iqr_ms: the interquartile range.
        p50_low_ms: lower end of the 95 % confidence interval of the median; NaN with fewer than six calls.
        p50_high_ms: its upper end.
        settled: whether the median may be compared: see the module's docstring.
    """

    runs: int
    p50_ms: float
    p90_ms: float
    iqr_ms: float
    p50_low_ms: float
    p50_high_ms: float
    settled: bool


def pin(threads: int) -> None:
    """Pin this process to the first ``threads`` of the cores it may use, if the operating system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Call :func:`pin` and undo it at the end of the block."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(threads)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def upscaling_call(runner: "Runner", height: int, width: int) -> Call:
    """Return a call, for :func:`in_turns`, that upscales one random LR image.

    Returns:
        A function that returns milliseconds: ``total`` from image to image, and ``infer``, the runtime's part of it.
    """
    lr = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    def call() -> dict[str, float]:
        start = time.perf_counter()
        tensor = runner.to_input(lr)
        before = time.perf_counter()
        result = runner.infer(tensor)
        after = time.perf_counter()
        runner.to_output(result)
        return {"total": 1e3 * (time.perf_counter() - start), "infer": 1e3 * (after - before)}

    return call


def timed(run: Callable[[], object]) -> Call:
    """Return a function for :func:`in_turns` that runs ``run`` and returns its milliseconds as the part ``ms``."""

    def call() -> dict[str, float]:
        start = time.perf_counter()
        run()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    return call


@cache
def median_rank(runs: int) -> int:
    """Return the rank of the order statistics that bound the 95 % confidence interval of a median.

    The number of independent calls that are faster than the median has the binomial distribution of ``runs`` tosses of
    a coin, whatever the distribution of the times (Conover, "Practical Nonparametric Statistics", 3rd ed., 1999,
    section 3.2).

    Args:
        runs: number of calls.

    Returns:
        The largest r for which the r-th fastest and the r-th slowest call enclose the median with a probability of 95 %
        or more; 0 with fewer than six calls, which have no such interval.
    """
    below, ways, tail = 0, 1, 1  # `ways` to have exactly `below` faster calls, and `tail` to have at most as many
    while 40 * tail <= 2**runs:  # 2.5 % at either end
        ways = ways * (runs - below) // (below + 1)
        below += 1
        tail += ways
    return below


def median_interval(milliseconds: list[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median of independent times; NaN with fewer than six."""
    rank = median_rank(len(milliseconds))
    if not rank:
        return float("nan"), float("nan")
    ordered = sorted(milliseconds)
    return ordered[rank - 1], ordered[-rank]


def summary(milliseconds: list[float], interval: float) -> Latency:
    """Return the latency of one variant.

    Args:
        milliseconds: the times of its calls.
        interval: the most that an end of the confidence interval of a settled median differs from it, as a share of it.
    """
    p25, p50, p75, p90 = (float(value) for value in np.percentile(milliseconds, (25, 50, 75, 90)))
    low, high = median_interval(milliseconds)
    runs = len(milliseconds)
    settled = runs >= SETTLED_RUNS and _is_narrow(p50, low, high, interval)
    return Latency(runs, p50, p90, p75 - p25, low, high, settled)


def _is_narrow(p50: float, low: float, high: float, interval: float) -> bool:
    return max(p50 - low, high - p50) <= interval * p50  # false where they are NaN


@dataclass
class _Timed:
    """A variant while it is timed."""

    call: Call
    seconds: float = 0.0  # of its timed calls
    milliseconds: dict[str, list[float]] = field(default_factory=dict)  # of its timed calls, by part

    def warm_up(self, calls: int, max_seconds: float) -> None:
        start = time.perf_counter()
        for _ in range(calls):
            self.call()
            if time.perf_counter() - start >= max_seconds:
                break

    def take_turn(self, max_seconds: float) -> None:
        time.sleep(PAUSE)
        self.call()
        for _ in range(TURN):
            start = time.perf_counter()
            parts = self.call()
            self.seconds += time.perf_counter() - start
            for part, milliseconds in parts.items():
                self.milliseconds.setdefault(part, []).append(milliseconds)
            if self.seconds >= max_seconds:
                break

    def needs_more(self, runs: int, interval: float) -> bool:
        return any(
            len(times) < runs or not _is_narrow(float(np.median(times)), *median_interval(times), interval)
            for times in self.milliseconds.values()
        )


def in_turns(calls: Calls, **limits: Any) -> dict[str, dict[str, Latency]]:
    """Time variants in turns; return the latency by variant and part. See :func:`as_they_settle`."""
    settled = dict(as_they_settle(calls, **limits))
    return {name: settled[name] for name in calls}


def as_they_settle(
    calls: Calls, *, warmup: int, runs: int, interval: float, min_seconds: float, max_seconds: float
) -> Iterator[tuple[str, dict[str, Latency]]]:
    """Time variants in turns, and yield each when it leaves the turns.

    Args:
        calls: the variants.
        warmup: calls of each variant before any is timed.
        runs: least number of timed calls per variant, rounded up to a multiple of ``TURN``.
        interval: a variant is timed until the confidence interval of the median of each part ends within this share of
            the median; with a large one six calls are enough.
        min_seconds: a variant is timed until its timed calls have taken this long in total.
        max_seconds: a variant stops early, after at least one call, once its timed calls have taken this long in total;
            likewise its warm-up.

    Yields:
        The name of a variant, and the latency of each part.
    """
    active = {name: _Timed(call) for name, call in calls.items()}
    for variant in active.values():
        variant.warm_up(warmup, max_seconds)
    while active:
        for variant in active.values():
            variant.take_turn(max_seconds)
        for name, variant in [*active.items()]:
            if variant.seconds >= max_seconds or not (
                variant.seconds < min_seconds or variant.needs_more(runs, interval)
            ):
                del active[name]
                yield name, {part: summary(times, interval) for part, times in variant.milliseconds.items()}
