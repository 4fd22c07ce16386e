"""What TFLite's benchmark_model prints, of versions from 2019 on.

The tool tells statistics of its calls alone, and no time of a single call: number, mean and extremes, and in later
versions the median. A run of it is therefore one sample here, of the median of its calls where there is one, else of
their mean; several runs in turns give a confidence interval.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_src.benchmarking.latency import SETTLED_RUNS, Latency, summary

NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
STATISTICS = re.compile(rf"count=(\d+)\b(?:.*?\bcurr={NUMBER})?(?:.*?\bavg={NUMBER})?(?:.*?\bmedian={NUMBER})?")
MEMORY = re.compile(rf"emory footprint.*\(MB\): init={NUMBER} overall={NUMBER}")
NOT_DELEGATED = re.compile(r"Though (\w+) delegate is explicitly applied, the model graph will not be executed")
PARTLY = re.compile(r"applied (?!XNNPACK)\w+ delegate, and the model graph will be partially executed by the delegate")
ERROR = re.compile(r"(?:ERROR: |^E .*?: )(.*)|(.*(?:Failed|failed|Aborted|Segmentation fault).*)")


@dataclass(frozen=True)
class Report:
    """One run of benchmark_model.

    Attributes:
        runs: number of timed calls.
        ms: the median of their milliseconds, or their mean.
        is_median: which of the two.
        memory_mb: growth of memory from the start of the tool, in MB; None if it prints none.
        partly: whether a delegate ran a part of the net, and the CPU the rest.
    """

    runs: int
    ms: float
    is_median: bool
    memory_mb: float | None
    partly: bool


def read(lines: Iterable[str]) -> Report | str:
    """Return what a run has measured, or why it has not: also if its delegate left the whole net to the CPU."""
    text = "\n".join(lines)
    if left := NOT_DELEGATED.search(text):
        return f"the {left[1]} delegate runs no part of it"
    # The first line of statistics is of the warm-up.
    found = [match for match in STATISTICS.finditer(text) if any(match.groups()[1:])]
    if len(found) < 2:
        said = [next(filter(None, match.groups())) for match in map(ERROR.search, text.splitlines()) if match]
        return " ".join((said or text.splitlines() or ["benchmark_model prints nothing"])[-1].split())
    runs, last, mean, median = found[-1].groups()
    memory = MEMORY.search(text)
    return Report(
        runs=int(runs),
        ms=round(float(median or mean or last) / 1000, 6),
        is_median=bool(median),
        memory_mb=float(memory[2]) if memory else None,
        partly=PARTLY.search(text) is not None,
    )


def described(reports: list[Report]) -> str:
    """Return how a latency of several runs of the tool came about."""
    what = "medians" if all(report.is_median for report in reports) else "means"
    partly = ", partly on the CPU" if any(report.partly for report in reports) else ""
    return f"benchmark_model: {what} of {len(reports)} runs{partly}"


def latency(reports: list[Report], interval: float) -> Latency:
    """Return the latency of several runs of the tool, with the confidence interval that they give of their median.

    The 90th percentile and the interquartile range of single calls cannot be known, and are NaN.

    Args:
        reports: the runs.
        interval: the most that an end of the confidence interval of a settled median differs from it, as a share.
    """
    samples, runs = summary([report.ms for report in reports], interval), sum(report.runs for report in reports)
    p50, low, high = samples.p50_ms, samples.p50_low_ms, samples.p50_high_ms
    settled = runs >= SETTLED_RUNS and max(p50 - low, high - p50) <= interval * p50  # false where they are NaN
    return Latency(runs, p50, float("nan"), float("nan"), low, high, settled)
