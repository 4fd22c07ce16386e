"""What a stage asks of Slurm, by the keys that workflow/profiles/slurm hands to the Snakefile."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dvc_stages import Job, Stage

from pipeline_src.errors import UserError

PROFILE = "workflow/profiles/slurm/config.yaml"


@dataclass(frozen=True)
class Node:
    """A node of a partition.

    Attributes:
        cpus: that Slurm may give to jobs.
        gpus: whether it has any.
    """

    cpus: int
    gpus: bool


def job(stage: Stage, config: Mapping[str, Any]) -> Job:
    """Return the job of a stage, with resources as Snakemake's plugin for Slurm names them.

    A stage that trains takes its GPUs if params.yaml asks for CUDA, or leaves it to the pipeline and the partition has
    GPUs. A stage that measures time has a node for itself. A second attempt asks for twice the memory, and a third for
    three times.

    Args:
        stage: the stage.
        config: the keys ``partition``, ``gpu_partition``, ``measure_partition`` and ``measure_constraint`` of the
            profile.

    Raises:
        UserError: if there is no Slurm, it does not answer, or it has no such partition.
    """
    partition = _partition(stage, config)
    available = nodes(partition)
    asked: dict[str, Any] = {"mem_mb": _growing(stage.meta["mem_mb"])}
    if partition:
        asked["slurm_partition"] = partition
    if stage.alone:
        asked["slurm_extra"] = "'--exclusive'"
    if stage.alone and config.get("measure_constraint"):
        asked["constraint"] = config["measure_constraint"]
    gpus = stage.meta.get("gpu", 0) if stage.cuda or any(node.gpus for node in available) else 0
    if stage.nodes > 1:  # it starts one process on each node by itself
        asked |= {"mpi": "srun", "nodes": stage.nodes, "tasks": stage.nodes} | ({"gres": f"gpu:{gpus}"} if gpus else {})
    elif gpus:
        asked["gpu"] = gpus
    # not more than any node has, or the job would wait for ever
    return Job(min(stage.meta["threads"], *(node.cpus for node in available)), asked)


def _growing(megabytes: int) -> Any:
    return lambda wildcards, attempt: megabytes * attempt


def _partition(stage: Stage, config: Mapping[str, Any]) -> str:
    """Return the partition that a stage runs in; "" is the cluster's default."""
    of_kind = "measure_partition" if stage.alone else "gpu_partition" if stage.meta.get("gpu") else ""
    return str(config.get(of_kind) or config.get("partition") or "")


@cache
def nodes(partition: str) -> list[Node]:
    """Return the nodes of a partition, "" for the cluster's default, as Slurm knows them.

    Raises:
        UserError: if there is no Slurm, it does not answer, or it has no such partition.
    """
    if not shutil.which("sinfo"):
        raise UserError(
            f"{PROFILE} needs Slurm, but there is no sinfo in the PATH; use the profile on a login node of the cluster "
            "alone"
        )
    chosen = [f"--partition={partition}"] if partition else []
    command = ["sinfo", "--Node", "--noheader", "--format=%P|%c|%G", *chosen]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        reason = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        raise UserError(f"Slurm does not answer (sinfo: {reason}); ask `sinfo` why, and run the same command again")
    listed = [line.split("|") for line in answer.stdout.split()]
    found = [Node(int(cpus), "gpu" in gres) for name, cpus, gres in listed if partition or name.endswith("*")]
    if not found:
        missing = f"no partition {partition}" if partition else "no default partition"
        raise UserError(f"{PROFILE}: Slurm has {missing}; `sinfo` lists those that it has")
    return found


def look_at_jobs_as_often_as_told() -> None:
    """Let Slurm's plugin look at its jobs every ``seconds-between-status-checks``, the option of Snakemake.

    By itself it waits 10 seconds longer after every look at which no job has ended, up to three minutes, and a stage of
    seconds ends only at the next look.
    """
    from snakemake_executor_plugin_slurm import Executor

    def seconds(executor: Executor) -> float:
        return executor.workflow.remote_execution_settings.seconds_between_status_checks

    Executor.next_seconds_between_status_checks = property(seconds, lambda executor, value: None)
