"""The pipeline on a real Slurm of two nodes: whole, and with jobs that are cancelled, starved, or lose their node."""

import functools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import slurm_cluster
import yaml
from copies import Copy, copied
from slurm_cluster import CPUS, Cluster

pytestmark = pytest.mark.skipif(bool(slurm_cluster.missing()), reason=slurm_cluster.missing())

Change = Callable[..., None]
PROFILE = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
CURVE = Path("results/train/abpn_x3/curve.csv")
LOG = Path(".cache/logs/train@abpn_x3.log")
LONG = 3000  # steps, which take many times as long as Slurm to notice anything


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm") / "c", nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository with tiny params."""
    return copied(tmp_path_factory.mktemp("slurm") / "copy")


@pytest.fixture(scope="module")
def report(cluster: Cluster, copy: Copy) -> str:
    """What Snakemake prints when it runs the whole pipeline on the cluster."""
    return ended(started(cluster, copy, "report"))


@pytest.fixture
def changed(copy: Copy) -> Iterator[Callable[..., None]]:
    """A function that sets keys of a section of params.yaml, such as ``systems.abpn_x3.train``, for one test."""
    before = {name: (copy.folder / name).read_text() for name in ("params.yaml", "dvc.yaml")}

    def change(section: str, **values: object) -> None:
        params = yaml.safe_load((copy.folder / "params.yaml").read_text())
        functools.reduce(dict.__getitem__, section.split("."), params).update(values)
        (copy.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    yield change
    for name, text in before.items():
        (copy.folder / name).write_text(text)


def started(cluster: Cluster, copy: Copy, *arguments: str) -> "subprocess.Popen[str]":
    """Start Snakemake with the profile on the machine of the controller."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SR_", "SLURM", "MLFLOW"))}
    environment = kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "SR_TRACKING": "off"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    inside = ["nsenter", "--target", str(cluster.pid), "--mount", "--pid", f"--wd={copy.folder}"]
    return subprocess.Popen([*inside, *PROFILE, *arguments], env=environment, **output)


def ended(run: "subprocess.Popen[str]", status: int = 0) -> str:
    """Wait for the end of a run, and return what it printed."""
    printed, _ = run.communicate(timeout=900)
    assert run.returncode == status, printed
    return printed


def jobs(cluster: Cluster, stage: str) -> list[dict[str, str]]:
    """Return what Slurm knows of the jobs of a stage, the latest last."""
    described = cluster.said("scontrol", "--oneliner", "show", "job").splitlines()
    fields = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in described]
    of_stage = [job for job in fields if f"/rule_{stage}/" in job.get("StdOut", "")]
    return sorted(of_stage, key=lambda job: int(job["JobId"]))


def running_job(cluster: Cluster, copy: Copy, known: int) -> dict[str, str]:
    """Return the job of the training that comes after ``known`` earlier ones, once it has written a checkpoint."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        latest = jobs(cluster, "train@abpn_x3")[known:]
        if latest and latest[-1]["JobState"] == "RUNNING" and list(copy.folder.glob(".cache/train/train@abpn_x3-*")):
            return latest[-1]
        time.sleep(0.2)
    raise AssertionError(f"no training runs: {cluster.said('squeue', '--states=all')}")


def steps(copy: Copy) -> int:
    """Return the steps of the training whose curve is there."""
    return int(pd.read_csv(copy.folder / CURVE)["step"].iloc[-1])


def test_the_whole_pipeline_ends_as_on_one_machine(copy: Copy, report: str) -> None:
    assert "10 of 10 steps (100%) done" in report
    copy.assert_nothing_to_do()
    assert not [log.name for log in (copy.folder / ".cache/logs").glob("*.log") if "\r" in log.read_text()]


def test_stages_ask_for_what_they_need(cluster: Cluster, report: str) -> None:
    """A measurement has a node for itself, and a training a GPU."""
    stages = ("benchmark@abpn_x3", "train@abpn_x3", "fetch@photos")
    benchmark, training, fetch = (jobs(cluster, stage)[0] for stage in stages)
    assert (benchmark["OverSubscribe"], benchmark["NumCPUs"]) == ("NO", str(CPUS))
    assert fetch["NumCPUs"] == "1"
    assert "gres:gpu:1" in training["TresPerJob"]
    assert "TresPerJob" not in fetch


def test_a_partition_that_slurm_has_not_is_one_sentence(cluster: Cluster, copy: Copy) -> None:
    printed = ended(started(cluster, copy, "--config", "cluster=slurm", "partition=fast", "--", "report"), status=1)
    (said,) = [line for line in printed.splitlines() if line.startswith("error:")]
    assert said.endswith("Slurm has no partition fast; `sinfo` lists those that it has")


def test_a_changed_param_runs_what_depends_on_it(cluster: Cluster, copy: Copy, changed: Change) -> None:
    changed("quantize", calibration_crop=24)
    printed = ended(started(cluster, copy, "quantize"))
    assert set(re.findall(r"Job \d+: (\S+)", printed)) == {"quantize@abpn_x3"}


def test_a_cancelled_job_is_started_again_and_goes_on(cluster: Cluster, copy: Copy, changed: Change) -> None:
    changed("systems.abpn_x3.train", steps=LONG)
    known = len(jobs(cluster, "train@abpn_x3"))
    run = started(cluster, copy, "train")
    cluster.said("scancel", running_job(cluster, copy, known)["JobId"])
    ended(run)
    states = [job["JobState"] for job in jobs(cluster, "train@abpn_x3")[known:]]
    assert states == ["CANCELLED", "COMPLETED"]
    assert steps(copy) == LONG


def test_a_job_whose_node_fails_runs_on_another(cluster: Cluster, copy: Copy, changed: Change) -> None:
    changed("systems.abpn_x3.train", steps=LONG + 100)
    known = len(jobs(cluster, "train@abpn_x3"))
    run = started(cluster, copy, "train")
    job = running_job(cluster, copy, known)
    with cluster.lost(job["NodeList"]):
        ended(run)
    requeued = jobs(cluster, "train@abpn_x3")[known:]
    assert [job["JobState"] for job in requeued] == ["COMPLETED"]
    assert requeued[0]["NodeList"] != job["NodeList"]
    assert steps(copy) == LONG + 100


def test_a_job_over_its_memory_gets_more(cluster: Cluster, copy: Copy, changed: Change) -> None:
    stages = (copy.folder / "dvc.yaml").read_text()
    (copy.folder / "dvc.yaml").write_text(stages.replace("priority: 3, mem_mb: 3000", "priority: 3, mem_mb: 600"))
    changed("systems.abpn_x3.train", steps=LONG - 100)
    known = len(jobs(cluster, "train@abpn_x3"))
    ended(started(cluster, copy, "train"))
    asked = [job["MinMemoryNode"] for job in jobs(cluster, "train@abpn_x3")[known:]]
    assert asked[:2] == ["600M", "1200M"]
    assert steps(copy) == LONG - 100


def test_two_nodes_train_one_net(cluster: Cluster, copy: Copy, changed: Change) -> None:
    changed("systems.abpn_x3.train", steps=60, batch=4)
    ended(started(cluster, copy, "train"))
    alone = pd.read_csv(copy.folder / CURVE)
    changed("systems.abpn_x3.train", nodes=2)
    ended(started(cluster, copy, "train"))
    assert jobs(cluster, "train@abpn_x3")[-1]["NumNodes"] == "2"
    pd.testing.assert_frame_equal(pd.read_csv(copy.folder / CURVE), alone, rtol=1e-3)


def test_a_worker_that_is_killed_ends_both_nodes_and_the_next_attempt_goes_on(
    cluster: Cluster, copy: Copy, changed: Change
) -> None:
    changed("systems.abpn_x3.train", steps=LONG, batch=4, nodes=2)
    known = len(jobs(cluster, "train@abpn_x3"))
    run = started(cluster, copy, "train")
    running_job(cluster, copy, known)
    running = list(psutil.process_iter(["cmdline", "environ"]))
    trainings = [process for process in running if "pipeline_src.stages.train" in (process.info["cmdline"] or [])]
    (second,) = [process for process in trainings if (process.info["environ"] or {}).get("RANK") == "1"]
    second.kill()
    printed = ended(run)
    said = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert said == [
        "error: a process of train@abpn_x3 was killed (SIGKILL, as by the system when memory is full); run the same "
        "command again, and the training goes on from its last checkpoint"
    ]
    assert [job["JobState"] for job in jobs(cluster, "train@abpn_x3")[known:]] == ["FAILED", "COMPLETED"]
    assert steps(copy) == LONG
