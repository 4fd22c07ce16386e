"""How far the latencies of two runs of the same files are apart: what `superres compare --latency` has to allow for.

    python benchmarks/latency_between_runs.py [REVISION ...]

Reads `results/report/table.csv` of revisions of this repository, by default of four runs on machines of one kind, and
prints for each two of them, of the files that have settled in both: the share whose confidence intervals do not
overlap, and the shares that are also slower by more than 5, 10 and 20 %.
"""

import io
import itertools
import subprocess
import sys

import pandas as pd

RUNS = ("57b421f", "5809a23", "a0fe65c", "4da7a52")  # AMD EPYC with VNNI, 2 cores of a shared virtual machine
KEY = ["system", "variant", "runtime", "scale", "set", "mult_adds", "lr_height", "lr_width", "threads"]


def table(revision: str) -> pd.DataFrame:
    shown = subprocess.run(
        ["git", "show", f"{revision}:results/report/table.csv"], check=True, capture_output=True, text=True
    )
    rows = pd.read_csv(io.StringIO(shown.stdout))
    return rows[rows["settled"].eq(True)]


tables = {revision: table(revision) for revision in sys.argv[1:] or RUNS}
print("base     new      files  apart  slower by 5 %   10 %   20 %")
for (base, before), (new, after) in itertools.combinations(tables.items(), 2):
    both = before.merge(after, on=KEY, suffixes=("_base", "_new"))
    slower = both["p50_low_ms_new"] > both["p50_high_ms_base"]
    apart = slower | (both["p50_high_ms_new"] < both["p50_low_ms_base"])
    change = both["p50_ms_new"] / both["p50_ms_base"] - 1
    shares = [(slower & (change > share)).mean() for share in (0.05, 0.1, 0.2)]
    print(f"{base}  {new}  {len(both):5}  {apart.mean():5.0%}  {shares[0]:13.0%}  {shares[1]:5.0%}  {shares[2]:5.0%}")
