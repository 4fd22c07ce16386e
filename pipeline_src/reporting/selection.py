"""Which systems the page shows where there are more than it can hold: those that a reader would choose from, first.

All else that the report writes, such as ``table.csv``, is of all systems.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest

import pandas as pd

from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.pareto import pareto_front
from pipeline_src.reporting.timing import settled

SYSTEMS = 100
ROWS = 10_000  # of the table of all measurements: about 3 MB of the page


def shown(data: ReportData) -> ReportData:
    """Return the measurements of the systems that the page shows: of all, unless they are too many.

    Those on a front come first, see :func:`by_front`. A system with a learned downscaler brings its baseline along.
    """
    rows = data.table["system"].str.partition("/")[0].value_counts()
    if len(data.systems) <= SYSTEMS and len(data.table) <= ROWS:
        return data
    chosen: set[str] = set()
    left = ROWS - int(rows.get("bicubic", 0))
    for name in by_front(data):
        added = {name, data.params.systems[name].baseline or name} - chosen
        needed = sum(int(rows.get(system, 0)) for system in added)
        if len(chosen) + len(added) <= SYSTEMS and (needed <= left or not chosen):
            chosen |= added
            left -= needed
    return _of(data, chosen)


def by_front(data: ReportData) -> list[str]:
    """Return all systems, those first that have a file on a front of any device and scale.

    First come the fronts of quality against latency, then those of each precision and runtime, then those of quality
    against the size of the file, then those of single image sets. So a choice within a budget is mostly the same as one
    among all files.
    """
    in_turn = [chain.from_iterable(zip_longest(*map(_spread, fronts))) for fronts in _fronts(data.table)]
    systems = [net.partition("/")[0] for net in chain.from_iterable(in_turn) if net]
    return list(dict.fromkeys([*systems, *data.systems]))


def _fronts(table: pd.DataFrame) -> Iterator[list[list[str]]]:
    """Yield the nets on the fronts of one kind, of which none comes before the others."""
    timed = settled(table[~table["runtime"].isin(["", "torch"]) & (table["disagrees"] == "")])
    file = ["device", "scale", "variant", "runtime", "system"]
    figures = {"psnr_y": "mean", "ms_per_mp": "first", "size_kib": "first"}
    files = timed.groupby(file, sort=False, as_index=False).agg(figures)
    by_size = files.assign(ms_per_mp=files["size_kib"])
    one_kind = ["device", "scale", "variant", "runtime"]
    for rows, key in (
        (files, ["device", "scale"]),
        (files, one_kind),
        (by_size, one_kind),
        (timed, ["device", "scale", "set"]),
    ):
        yield [pareto_front(group)["system"].tolist() for _, group in rows.groupby(key, sort=False)]


def _spread(front: list[str]) -> list[str]:
    """Return a front in an order whose first few names already reach from its one end to the other."""
    ordered, step = front[:1] + front[-1:], 1 << len(front).bit_length()
    while step := step // 2:
        ordered += front[::step]
    return list(dict.fromkeys(ordered))


def _of(data: ReportData, chosen: set[str]) -> ReportData:
    """Return the data of some systems, with nothing of the others."""
    sections = {
        name: {system: spec for system, spec in getattr(data.params, name).items() if system in chosen}
        for name in ("systems", "prune", "search")
    }
    kept = data.table["system"].str.partition("/")[0].isin([*chosen, "bicubic"])
    table = data.table[kept].reset_index(drop=True)
    return replace(data, params=data.params.model_copy(update=sections), table=table, of=data)


def note(data: ReportData) -> str:
    """Return what the page leaves out, in a sentence or two; empty if it shows all."""
    if data.whole is data:
        return ""
    return (
        f"This page shows {len(data.systems)} of {len(data.whole.systems)} systems, so that it stays quick to open: "
        "those with a file that no other is both faster and better than, or smaller and better, first. The answers in "
        "plain words count all of them. table.csv has all rows, and superres pick chooses among all files."
    )
