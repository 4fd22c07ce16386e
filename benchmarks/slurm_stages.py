"""What Slurm adds to each stage: the tiny pipeline of the tests on a Slurm of one node, and without it.

    PYTHONPATH=tests:tests/pipeline:tests/scaling python benchmarks/slurm_stages.py       as root, after .ci/servers

The time of a stage is from when Snakemake starts or submits it until Snakemake knows that it has ended, as its log
says, in whole seconds.
"""

import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import slurm_cluster
from copies import copied

STAMP = r"\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]\n"
STARTED = re.compile(STAMP + r"Job \d+: (\S+)")
ENDED = re.compile(STAMP + r"Finished jobid: \d+ \(Rule: (\S+)\)")
PROFILES = {"alone": "workflow/profiles/default", "slurm": "workflow/profiles/slurm"}


def times(pattern: "re.Pattern[str]", log: str) -> dict[str, datetime]:
    return {stage: datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y") for stamp, stage in pattern.findall(log)}


def seconds(log: str) -> dict[str, float]:
    started, ended = times(STARTED, log), times(ENDED, log)
    return {stage: (ended[stage] - started[stage]).total_seconds() for stage in ended}


def ran(folder: Path, profile: str, prefix: list[str]) -> dict[str, float]:
    """Run the pipeline one stage after the other, and return the seconds of each."""
    copy = copied(folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SR_TRACKING": "off", "OMP_NUM_THREADS": "1"}
    command = [*prefix, "snakemake", "--workflow-profile", profile, "--jobs", "1", "report"]
    done = subprocess.run(command, cwd=copy.folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds(done.stdout + done.stderr)


def main() -> None:
    if reason := slurm_cluster.missing():
        print(f"not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as temporary, slurm_cluster.running(Path(temporary) / "c", nodes=1) as cluster:
        inside = ["nsenter", "--target", str(cluster.pid), "--mount", "--pid", f"--wd={temporary}/slurm"]
        alone = ran(Path(temporary) / "alone", PROFILES["alone"], [])
        slurm = ran(Path(temporary) / "slurm", PROFILES["slurm"], inside)
    print(f"{'stage':24} {'alone':>8} {'slurm':>8} {'added':>8}   seconds")
    for stage, own in alone.items():
        print(f"{stage:24} {own:8.0f} {slurm[stage]:8.0f} {slurm[stage] - own:8.0f}")


if __name__ == "__main__":
    main()
