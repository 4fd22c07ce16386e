"""What tracking costs a short stage: without it, with an SQLite file, and with the server of MLFLOW_TRACKING_URI.

    python benchmarks/tracking.py [RUNS]

Runs a training of `abpn_x3` of four steps in each way, in turns, 7 times by default, and prints the median and the
range. Each is a process of its own, as DVC starts it. Without MLFLOW_TRACKING_URI there is no server to compare.
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


def main(runs: int = 7) -> None:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    ways = {"SR_TRACKING=off": {"SR_TRACKING": "off"}, "SQLite": {"MLFLOW_TRACKING_URI": ""}}
    ways |= {uri: {"MLFLOW_TRACKING_URI": uri}} if uri else {}
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder) / "copy")
        for name in yaml.safe_load((copy.folder / "params.yaml").read_text())["sets"]:
            copy.forked("pipeline_src.stages.fetch", name, SR_TRACKING="off")
        copy.forked("pipeline_src.stages.build_h5", SR_TRACKING="off")
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(runs + 1):  # the first of each makes the store, the experiment and the run of the state
            for way, variables in ways.items():
                start = time.monotonic()
                command = [sys.executable, "-m", "pipeline_src.stages.train", "abpn_x3"]
                subprocess.run(command, cwd=copy.folder, env=os.environ | variables, check=True)
                seconds[way].append(time.monotonic() - start)
    for way, measured in seconds.items():
        rest = measured[1:]
        print(f"{way:28} {statistics.median(rest):5.1f} s ({min(rest):.1f} to {max(rest):.1f} in {runs} runs)")


if __name__ == "__main__":  # without which the processes of tests/forked.py would measure too
    main(*map(int, sys.argv[1:]))
