"""The profile of Slurm where there is none; `make slurm-test` runs the pipeline on a real one."""

import os
import subprocess
from pathlib import Path

import forked
import yaml
from shared import ROOT

PROFILE = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())


def without_slurm(tmp_path: Path) -> str:
    """A PATH in which the shell and git are, and no command of Slurm."""
    for name in ("sh", "bash", "git", "uname"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / name).symlink_to(found)
    return str(tmp_path)


def test_without_slurm_the_profile_says_so_in_one_sentence(tmp_path: Path) -> None:
    command = ("snakemake", "--nolock", "-n", "--config", "cluster=slurm", "--", "report")
    done = forked.run(ROOT, *command, environment=os.environ | {"PATH": without_slurm(tmp_path)})
    assert done.returncode == 1
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert said.startswith("error: workflow/profiles/slurm/config.yaml needs Slurm, but there is no sinfo in the PATH")


def test_every_key_that_the_snakefile_reads_is_in_the_profile() -> None:
    keys = {"cluster", "partition", "gpu_partition", "measure_partition", "measure_constraint"}
    assert {*PROFILE["config"]} == keys
    default = yaml.safe_load((ROOT / "workflow/profiles/default/config.yaml").read_text())
    same = {"rerun-triggers", "rerun-incomplete", "keep-going", "show-failed-logs", "nolock"}
    assert {key: PROFILE[key] for key in same} == {key: default[key] for key in same}
