"""Latencies in the report: how precise each is, and which may be compared."""

from typing import Any

import pandas as pd


def precision(low: float, p50: float, high: float, runs: float, settled: bool) -> str:
    """Return how precise a latency is, as the text that follows it.

    Args:
        low: lower end of the confidence interval of the median, NaN if there is none.
        p50: the median.
        high: upper end of the interval.
        runs: number of timed calls.
        settled: whether the median may be compared.

    Returns:
        The larger distance from the median to an end of the interval (``±0.2``), the number of calls of a figure that
        has not settled (``(3 runs)``), both where there are both, and "" if nothing was timed.
    """
    if pd.isna(p50):
        return ""
    parts = []
    half_width = max(p50 - low, high - p50)
    if pd.notna(half_width):
        parts.append(f"±{half_width:.1f}" if half_width >= 0.05 or half_width == 0 else f"±{half_width:.1g}")
    if not settled:
        parts.append(f"({runs:.0f} run{'s' * (runs != 1)})")
    return " ".join(parts)


def precisions(rows: pd.DataFrame, per: "pd.Series[float] | float" = 1.0) -> list[str]:
    """Return the :func:`precision` of the latency of each row.

    Args:
        rows: measurements with the columns of a latency.
        per: what the latency is divided by.
    """
    low, p50, high = (rows[name] / per for name in ("p50_low_ms", "p50_ms", "p50_high_ms"))
    return [precision(*cells) for cells in zip(low, p50, high, rows["runs"], rows["settled"], strict=True)]


def settled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose latency may be compared: enough calls, and a narrow confidence interval of the median."""
    return rows[rows["settled"].astype(bool) & rows["p50_ms"].notna()]


def is_faster(file: Any, than: Any) -> bool:
    """Return whether a settled row is faster than another: its confidence interval ends below that of the other."""
    return bool(file.p50_high_ms < than.p50_low_ms)
