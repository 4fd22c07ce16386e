"""Starts the processes that train one net, as ``torchrun`` does, on this machine or on all nodes of a Slurm job.

The stage that starts them is one stage to DVC, Snakemake and MLflow: it waits for their end, and ends as they do.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline_src.config import Training
from pipeline_src.errors import UserError
from pipeline_src.paths import SCRATCH
from pipeline_src.training.workers import LOST, started

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STAGE = ("-m", "pipeline_src.stages.train")
MEETING = "SR_MEETING"  # host:port at which the nodes of a training meet, set by the first for all
JOB = "SLURM_JOB_ID"
TERMINATED = 128 + signal.SIGTERM
AGAIN = "run the same command again, and the training goes on from its last checkpoint"


def to_launch(recipe: Training) -> bool:
    """Whether the training takes several processes, and this is none of them."""
    return recipe.processes * recipe.nodes > 1 and not started()


def launch(system: str, recipe: Training, device: torch.device) -> None:
    """Train ``system`` in ``recipe.processes`` processes on each of ``recipe.nodes`` nodes, and wait for their end.

    Raises:
        UserError: if there are fewer GPUs than processes, if several nodes are asked for without a job of Slurm, or if
            a process was killed.
        SystemExit: if a process ended with an error of its own, which has been printed.
    """
    if device.type == "cuda" and torch.cuda.device_count() < recipe.processes:
        raise UserError(
            f"params.yaml: systems.{system}.train.processes is {recipe.processes}, but torch sees "
            f"{torch.cuda.device_count()} GPUs here; lower it, or give the stage more GPUs"
        )
    if recipe.nodes > 1 and MEETING not in os.environ:
        _launch_on_nodes(system, recipe)
    else:
        _launch_here(system, recipe)


def _launch_on_nodes(system: str, recipe: Training) -> None:
    """Run this stage once on each node of the Slurm job; each starts the processes of its node."""
    if JOB not in os.environ:
        raise UserError(
            f"params.yaml: systems.{system}.train.nodes is {recipe.nodes}, but this is no job of Slurm; run it with "
            "workflow/profiles/slurm (docs/scaling.md), or set nodes to 1"
        )
    once_each = [f"--nodes={recipe.nodes}", f"--ntasks={recipe.nodes}", "--ntasks-per-node=1"]
    options = [*once_each, "--overlap", "--kill-on-bad-exit=1", "--quiet"]
    meeting = {MEETING: f"{socket.gethostname()}:{_free_port()}"}
    done = subprocess.run(["srun", *options, sys.executable, *STAGE, system], env=os.environ | meeting)
    if done.returncode in (1, LOST, TERMINATED):  # one node has said why, and srun has ended the others
        sys.exit(1)
    if done.returncode:
        raise UserError(
            f"the training of {system} on {recipe.nodes} nodes ended with status {done.returncode}; {AGAIN}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _launch_here(system: str, recipe: Training) -> None:
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):  # in 40 lines what is one sentence below
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logs = SCRATCH / "train" / f"processes of {system}"
    settings = LaunchConfig(
        min_nodes=recipe.nodes,
        max_nodes=recipe.nodes,
        nproc_per_node=recipe.processes,
        run_id=os.environ.get(JOB, "alone"),
        rdzv_backend="c10d",
        rdzv_endpoint=os.environ.get(MEETING, "localhost:0"),
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(str(logs), redirects=dict.fromkeys(range(1, recipe.processes), Std.ERR)),
    )
    try:
        elastic_launch(settings, sys.executable)(*STAGE, system)
    except ChildFailedError as error:
        _end_as(system, [*error.failures.values()])
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        sys.exit(128 + error.sigval)


def _end_as(system: str, failures: "Sequence[ProcessFailure]") -> None:
    """End this process as the first of the processes did that did not end for want of the others."""
    first = min(failures, key=lambda failure: (failure.exitcode == LOST, failure.timestamp))
    if first.exitcode == LOST:  # one on another node, which says why
        sys.exit(LOST)
    if first.exitcode < 0:
        cause = f"{first.signal_name()}, as by the system when memory is full"
        raise UserError(f"a process of train@{system} was killed ({cause}); {AGAIN}")
    said = Path(first.error_file).with_name("stderr.log")
    if said.exists():  # all but the first process, whose stderr is this one's
        sys.stderr.write(said.read_text(errors="backslashreplace"))
    sys.exit(1)
