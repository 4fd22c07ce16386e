"""What tracking costs a short stage: without it, with an SQLite file, and with the server of MLFLOW_TRACKING_URI.

    python benchmarks/tracking.py [RUNS]

Runs a training of `abpn_x3` of four steps in each way, in turns, 7 times by default, and prints the median and the range.
Each is a process of its own, as DVC starts it. Without MLFLOW_TRACKING_URI there is no server to compare.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "pipeline")]

from copies import copied  # noqa: E402

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
URI = os.environ.get("MLFLOW_TRACKING_URI", "")
WAYS = {"SR_TRACKING=off": {"SR_TRACKING": "off"}, "SQLite": {"MLFLOW_TRACKING_URI": ""}}
WAYS |= {URI: {"MLFLOW_TRACKING_URI": URI}} if URI else {}

with tempfile.TemporaryDirectory() as folder:
    copy = copied(Path(folder) / "copy")
    params = yaml.safe_load((copy.folder / "params.yaml").read_text())
    for name in params["sets"]:
        copy.forked("pipeline_src.stages.fetch", name, SR_TRACKING="off")
    copy.forked("pipeline_src.stages.build_h5", SR_TRACKING="off")
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(RUNS + 1):  # the first of each makes the store, the experiment and the run of the state
        for way, variables in WAYS.items():
            start = time.monotonic()
            command = [sys.executable, "-m", "pipeline_src.stages.train", "abpn_x3"]
            subprocess.run(command, cwd=copy.folder, env=os.environ | variables, check=True)
            seconds[way].append(time.monotonic() - start)
    for way, measured in seconds.items():
        rest = measured[1:]
        print(f"{way:32} {statistics.median(rest):5.1f} s ({min(rest):.1f} to {max(rest):.1f} in {RUNS} runs)")
