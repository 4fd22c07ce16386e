"""Trainings share the GPUs of a machine: as many at a time as there are GPUs, each on one of its own.

No GPU is needed: CUDA_VISIBLE_DEVICES names those that are shared out.
"""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from copies import RECIPE, TINY, copied
from dvc_stages import stages
from shared import ROOT

GPUS = ROOT / "workflow" / "gpus.py"
WORK = """
import json, os, sys, time
began = time.monotonic()
time.sleep(0.4)
print(json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], began, time.monotonic()]))
sys.exit(3)
"""
TRAINING = {"train", "prune", "search", "quantize", "tune"}


def test_each_command_has_a_gpu_of_its_own_and_the_others_wait(tmp_path: Path) -> None:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "4,GPU-7a"}
    command = [sys.executable, GPUS, "1", sys.executable, "-c", WORK]
    running = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    ran = [json.loads(process.communicate()[0]) for process in running]
    assert {process.returncode for process in running} == {3}  # the status is that of the command
    assert {name for name, *_ in ran} == {"4", "GPU-7a"}
    for gpu in ("4", "GPU-7a"):
        times = sorted((began, ended) for name, began, ended in ran if name == gpu)
        assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times)), times


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("2, 3,5", 3)])
def test_the_gpus_are_those_that_the_user_shows(monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    import gpus

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(gpus.devices()) == count


def test_every_stage_that_trains_takes_a_gpu() -> None:
    resolved = stages(ROOT, compare=False)
    assert {stage.name for stage in resolved if stage.meta.get("gpu")} == {
        stage.name for stage in resolved if stage.name.partition("@")[0] in TRAINING
    }


@pytest.mark.parametrize(("visible", "on_one"), [("", False), ("0", False), ("0,1", True)])
def test_with_several_gpus_a_training_is_started_on_one(visible: str, on_one: bool) -> None:
    command = ("snakemake", "--nolock", "-n", "-F", "--printshellcmds", "report")
    done = forked.run(ROOT, *command, environment=os.environ | {"CUDA_VISIBLE_DEVICES": visible})
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"Shell command: \S+ (python \S*gpus\.py 1 )?dvc .*--single-item (\S+)", done.stdout)
    assert {stage for launcher, stage in commands if launcher} == {
        stage for _, stage in commands if on_one and stage.partition("@")[0] in TRAINING
    }
    assert {"train@abpn_x3", "report"} <= {stage for _, stage in commands}


@pytest.mark.slow
def test_on_one_gpu_trainings_follow_each_other(tmp_path: Path) -> None:
    copy = copied(tmp_path, tiny=False)
    short = TINY.replace("abpn_x2: ~", f"abpn_x2: {{train: {RECIPE}}}").replace(
        "abpn_x4: ~", f"abpn_x4: {{train: {RECIPE[:-1]}, start: ~}}}}"
    )
    copy.layer(short)
    log = copy.ran("snakemake", "--cores", "8", "train", SR_TRACKING="off", CUDA_VISIBLE_DEVICES="0")
    started = re.findall(r"Job \d+: (train@\w+)|Finished jobid: \d+ \(Rule: (train@\w+)\)", log)
    order = [begun or ended for begun, ended in started]
    assert sorted({*order}) == ["train@abpn_x2", "train@abpn_x3", "train@abpn_x4"]
    assert order[::2] == order[1::2], log  # each ends before the next begins
