"""Section "Threads": the latency of each file at other numbers of threads."""

from pathlib import Path

import pandas as pd

from pipeline_src import paths
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Section, Text, table
from pipeline_src.reporting.tables import NAMED, Column
from pipeline_src.reporting.timing import precisions
from pipeline_src.tables import Kind, read_table

KEY = {"system": str, "variant": str, "runtime": str, "scale": int}
INTERVAL = {"p50_low_ms": float | None, "p50_high_ms": float | None}
SWEPT: dict[str, Kind] = KEY | {"threads": int, "runs": int, "p50_ms": float, "settled": bool} | INTERVAL


def build(data: ReportData) -> Section | None:
    """Return the section, or None if ``benchmark.sweep`` lists no numbers of threads."""
    rows = read(paths.results("benchmark"), data.systems)
    if rows.empty:
        return None
    intro = (
        "Each file again with other numbers of threads. The numbers of threads take turns, and all are timed on the "
        "set of cores that the largest number needs."
    )
    lead = "How much faster each file is on more cores."
    blocks: list[Block] = [Text(intro), table("Latency by number of threads", columns(rows), rows, tall=True)]
    return Section("threads", "Threads", "Threads", blocks, lead=lead, folded=True)


def read(folder: Path, systems: list[str]) -> pd.DataFrame:
    """Return the p50 in ms of each file, with a column per number of threads; empty if there was no sweep.

    ``<threads> note`` is how precise it is, and ``times`` the p50 with the fewest threads over that with the most, if
    both have settled.
    """
    paths_of_systems = {system: folder / system / "threads.csv" for system in systems}
    sweeps = [
        read_table(path, SWEPT, paths.remedy("benchmark", system))
        for system, path in paths_of_systems.items()
        if path.exists()
    ]
    rows = pd.concat([rows for rows in sweeps if len(rows)] or [pd.DataFrame(columns=[*SWEPT])])
    counts = sorted(rows["threads"].unique())
    files = rows[[*KEY]].drop_duplicates(ignore_index=True)
    settled_ms = {}
    for count in counts:
        timed = files.merge(rows[rows["threads"] == count], how="left", on=[*KEY])
        files[str(count)], files[f"{count} note"] = timed["p50_ms"], precisions(timed)
        settled_ms[count] = timed["p50_ms"].where(timed["settled"].eq(True))
    files["times"] = settled_ms[counts[0]] / settled_ms[counts[-1]] if counts else pd.Series(dtype=float)
    return files


def columns(rows: pd.DataFrame) -> list[Column]:
    """Return the columns of the table for rows of :func:`read`."""
    counts = [name for name in rows.columns if name.isdigit()]
    times = [
        Column(name, f"p50, {name} thread{'s' if name != '1' else ''} (ms)", "{:.1f}", f"{name} note")
        for name in counts
    ]
    return [*(NAMED[name] for name in KEY), *times, Column("times", "Times faster", "{:.2f}")]
