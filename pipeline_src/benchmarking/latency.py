"""Latency, measured by the rules of MLPerf, TFLite's benchmark_model and OpenVINO's benchmark_app.

Threads are pinned; there is a warm-up, a minimum number of runs and a minimum duration, with an upper limit for slow
variants; the result is p50, p90 and IQR instead of a mean. Variants take turns (A B C, A B C, …), so that other load on
the machine affects all of them alike.

A turn is several calls in a row, of which the first does not count: after a pause the threads of a runtime are asleep,
and on a virtual machine they may wake so late that a net of 10 ms runs on one core and takes 20 ms.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

PAUSE = 0.005  # seconds before each turn, after which the previous runtime's threads have stopped spinning
TURN = 3  # timed calls per turn


@dataclass(frozen=True)
class Latency:
    """Median, 90th percentile and interquartile range in milliseconds over ``runs`` calls."""

    runs: int
    p50_ms: float
    p90_ms: float
    iqr_ms: float


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


def timed(run: Callable[[], object]) -> Callable[[], dict[str, float]]:
    """Return a function for :func:`in_turns` that runs ``run`` and returns its milliseconds as the part ``ms``."""

    def call() -> dict[str, float]:
        start = time.perf_counter()
        run()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    return call


def summary(milliseconds: list[float]) -> Latency:
    """Return percentiles of the times of one variant."""
    p25, p50, p75, p90 = np.percentile(milliseconds, (25, 50, 75, 90))
    return Latency(len(milliseconds), float(p50), float(p90), float(p75 - p25))


def in_turns(
    calls: dict[str, Callable[[], dict[str, float]]], *, warmup: int, runs: int, min_seconds: float, max_seconds: float
) -> dict[str, dict[str, Latency]]:
    """Time variants in turns.

    Args:
        calls: for each variant a function that runs it once and returns the milliseconds of its parts by name.
        warmup: calls of each variant before any is timed.
        runs: least number of timed calls per variant, rounded up to a multiple of ``TURN``.
        min_seconds: turns continue until the timed calls of the fastest variant have taken this long in total.
        max_seconds: a variant stops early, after at least one call, once its timed calls have taken this long in total;
            likewise its warm-up.

    Returns:
        The summary of the times by variant and part.
    """
    for call in calls.values():
        start = time.perf_counter()
        for _ in range(warmup):
            call()
            if time.perf_counter() - start >= max_seconds:
                break
    times: dict[str, dict[str, list[float]]] = {name: {} for name in calls}
    busy = dict.fromkeys(calls, 0.0)
    active, completed = list(calls), 0
    while active and (completed < runs or min(busy.values()) < min_seconds):
        for name in active:
            time.sleep(PAUSE)
            calls[name]()
            for _ in range(TURN):
                start = time.perf_counter()
                parts = calls[name]()
                busy[name] += time.perf_counter() - start
                for part, milliseconds in parts.items():
                    times[name].setdefault(part, []).append(milliseconds)
                if busy[name] >= max_seconds:
                    break
        active = [name for name in active if busy[name] < max_seconds]
        completed += TURN
    return {name: {part: summary(ms) for part, ms in parts.items()} for name, parts in times.items()}
