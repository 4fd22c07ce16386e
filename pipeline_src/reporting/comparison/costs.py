"""Latency, memory and size of a file in two states, and whether it runs and gives the image that it should.

Latencies are compared as in the report: both medians have settled, and their confidence intervals do not overlap. They
must also differ by a tolerance, because two runs are further apart than the calls of one run. Figures of another
machine or setting are not compared.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline_src.reporting.comparison.changes import BETTER, INCOMPARABLE, SAME, WORSE, Change, File, verdict
from pipeline_src.reporting.comparison.measurements import TEXTS
from pipeline_src.reporting.comparison.tolerances import Tolerances
from pipeline_src.reporting.timing import is_faster

SETTING = {  # what must be the same in both states, and how it is called
    "cpu": "CPU", "cpu_features": "CPU features", "cores": "cores", "threads": "threads",
    "lr_height": "height of the timed image", "lr_width": "width of the timed image",
}  # fmt: skip


def troubles(file: File, base: pd.Series, new: pd.Series) -> Iterator[Change]:
    """Yield what ``disagrees`` and ``fails`` say, where they say something in either state.

    Args:
        file: the file.
        base: its row of ``State.files`` in the first state.
        new: that in the second one.
    """
    for name in TEXTS:
        before, after = str(base[name]), str(new[name])
        if before or after:
            found = SAME if before and after else WORSE if after else BETTER
            yield Change(file, name, found, reason=after or before)


def costs(file: File, base: pd.Series, new: pd.Series, tolerances: Tolerances) -> Iterator[Change]:
    """Yield latency, peak memory and size; the arguments are those of :func:`troubles`, and the tolerances."""
    elsewhere = _elsewhere(base, new)
    yield _latency(file, base, new, tolerances.latency, elsewhere)
    yield _cost(file, "peak_memory_mb", base, new, tolerances.memory, elsewhere)
    yield _cost(file, "file_bytes", base, new, tolerances.size)


def _latency(file: File, base: pd.Series, new: pd.Series, tolerance: float, elsewhere: str) -> Change:
    unsettled = [name for name, row in (("base", base), ("new", new)) if pd.notna(row["p50_ms"]) and not row["settled"]]
    reason = elsewhere or (f"not settled in {' and '.join(unsettled)}" if unsettled else "")
    apart = is_faster(new, base) or is_faster(base, new)
    ends = {
        f"{name}_{end}": float(row[f"p50_{end}_ms"])
        for name, row in (("base", base), ("new", new))
        for end in ("low", "high")
    }
    return _cost(file, "p50_ms", base, new, tolerance if apart else np.inf, reason, **ends)


def _cost(
    file: File, figure: str, base: pd.Series, new: pd.Series, tolerance: float, reason: str = "", **ends: Any
) -> Change:
    before, after = float(base[figure]), float(new[figure])
    percent = 100 * (after / before - 1) if before else np.nan
    reason = reason or ("" if np.isfinite(percent) else "not measured in both")
    found = INCOMPARABLE if reason else verdict(-percent, tolerance)
    return Change(file, figure, found, base=before, new=after, difference=percent, reason=reason, **ends)


def _elsewhere(base: pd.Series, new: pd.Series) -> str:
    """Return what keeps figures of two machines or settings apart; "" if nothing does."""
    for name, title in SETTING.items():
        before, after = base[name], new[name]
        if before != after and not (pd.isna(before) and pd.isna(after)):
            return f"{title} {_shown(before)} in base, {_shown(after)} in new"
    return "" if base["cpu"] else "the machine is not recorded"


def _shown(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell) or "not recorded"
