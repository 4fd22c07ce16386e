"""What more threads bring: the sweeps of the benchmarks, a row per file and a column per number of threads."""

from pathlib import Path

import pandas as pd

from pipeline_src.reporting.tables import NAMED, Column

PLACE = ["system", "variant", "runtime", "scale"]


def read(folder: Path, systems: list[str]) -> pd.DataFrame:
    """The p50 in ms at each number of threads, by file; of systems that were swept: empty where none was.

    ``times`` is how often the p50 of the most threads is contained in that of the fewest.
    """
    swept = [folder / system / "threads.csv" for system in systems]
    tables = [pd.read_csv(path) for path in swept if path.exists()]
    rows = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=[*PLACE, "threads", "p50_ms"])])
    table = rows.pivot_table(index=PLACE, columns="threads", values="p50_ms", sort=False)
    counts = sorted(table.columns)
    table["times"] = table[counts[0]] / table[counts[-1]] if counts else pd.Series(dtype=float)
    table.columns = [str(name) for name in table.columns]
    return table.reset_index()


def columns(table: pd.DataFrame) -> list[Column]:
    """The columns of a table of :func:`read`."""
    counts = [name for name in table.columns if name not in (*PLACE, "times")]
    times = [Column(name, f"p50, {name} thread{'s' if name != '1' else ''} (ms)", "{:.1f}") for name in counts]
    return [*(NAMED[name] for name in PLACE), *times, Column("times", "Times faster", "{:.2f}")]
