"""Latency by the rules of MLPerf, TFLite's benchmark_model and OpenVINO's benchmark_app.

Pinned threads, warm-up, 50 runs or more and a minimum duration (fewer of what is slow), p50, p90 and IQR instead of a
mean, and the variants in turns (A B C, A B C, …), so that whatever else the machine does falls on all of them alike.

A turn is several calls, one behind the other, and the first of them does not count: after a pause a runtime's threads
are asleep, and on a virtual machine take so long to wake that a net of 10 ms may run on one core and take twice that.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

PAUSE = 0.005  # seconds between turns, so that one runtime's spinning threads are asleep when the next is timed
TURN = 3  # calls that count


@dataclass(frozen=True)
class Latency:
    """Milliseconds over ``runs`` calls."""

    runs: int
    p50_ms: float
    p90_ms: float
    iqr_ms: float


def pin(threads: int) -> None:
    """Keep this process on ``threads`` of the cores it may use (where the system can)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """:func:`pin` for as long as the block takes."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(threads)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def timed(run: Callable[[], object]) -> Callable[[], dict[str, float]]:
    """A call for :func:`in_turns` of one part, ``ms``."""

    def call() -> dict[str, float]:
        start = time.perf_counter()
        run()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    return call


def summary(milliseconds: list[float]) -> Latency:
    """Percentiles of the times of one variant."""
    p25, p50, p75, p90 = np.percentile(milliseconds, (25, 50, 75, 90))
    return Latency(len(milliseconds), float(p50), float(p90), float(p75 - p25))


def in_turns(
    calls: dict[str, Callable[[], dict[str, float]]], *, warmup: int, runs: int, min_seconds: float, max_seconds: float
) -> dict[str, dict[str, Latency]]:
    """Time variants in turns; each call returns the milliseconds of its parts, each part is summarised apart.

    Every variant warms up ``warmup`` times, then runs ``runs`` times or more, in whole turns of ``TURN``, and on until
    the fastest of them has run for ``min_seconds`` in all. A slow one ends sooner: its warm-up and its runs when they
    have taken ``max_seconds`` each, after one at the least.
    """
    for call in calls.values():
        start = time.perf_counter()
        for _ in range(warmup):
            call()
            if time.perf_counter() - start >= max_seconds:
                break
    times: dict[str, dict[str, list[float]]] = {name: {} for name in calls}
    busy = dict.fromkeys(calls, 0.0)
    going, done = list(calls), 0
    while going and (done < runs or min(busy.values()) < min_seconds):
        for name in going:
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
        going = [name for name in going if busy[name] < max_seconds]
        done += TURN
    return {name: {part: summary(ms) for part, ms in parts.items()} for name, parts in times.items()}
