# One rule per stage of dvc.yaml, named as DVC names it (train@abpn_x3), and one per foreach (train).
# Snakemake schedules; each job asks DVC, which decides by content, runs, caches and writes dvc.lock.
import gc
import sys
import time
from pathlib import Path
from shlex import quote

sys.path[:0] = [str(Path(workflow.basedir) / "workflow"), workflow.basedir]
import gpus
import memory
import one_run
import remote_storage
import slurm
import unlock
from dvc_stages import expected_entries, groups, lock_entries, stages

from pipeline_src.errors import UserError

# A plan is millions of objects that live until its end; to look for cycles among them takes a third of the time.
gc.disable()

# the dvc and python of the environment that runs Snakemake, also where it has not been activated
shell.prefix(f"export SR_LAUNCHER=snakemake PATH={quote(str(Path(sys.executable).parent))}:$PATH; ")

SLURM = config.get("cluster") == "slurm"  # by the profile
REMOTE = config.get("storage") == "remote"  # there is no file system that all jobs share: docs/scaling.md
try:
    if REMOTE:
        remote_storage.prepare(Path.cwd(), workflow.is_main_process)
    STAGES = stages(Path.cwd(), compare=workflow.is_main_process and not REMOTE)
    JOBS = remote_storage.jobs(STAGES, expected_entries(Path.cwd()), lock_entries(Path.cwd())) if REMOTE else {}
    RESERVED = {stage.name: slurm.job(stage, config) if SLURM else stage.job for stage in STAGES}
except UserError as error:
    sys.exit(f"error: {error}")
if SLURM and workflow.is_main_process:
    slurm.look_at_jobs_as_often_as_told()

HERE = workflow.is_main_process and "cluster" not in config  # the stages run on this machine
# As many trainings at a time as this machine has GPUs, if it has any, each on GPUs of its own; `--resources gpu=2` gives
# another number.
GPUS = gpus.devices() if HERE else []
if GPUS and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", len(GPUS))
# Likewise stages side by side share the memory, and one that needs more than there is runs alone.
if HERE and "mem_mb" not in workflow.global_resources:
    workflow.register_resource("mem_mb", memory.megabytes())
# Each device that is measured by SSH or adb serves one stage at a time; different devices measure side by side.
for resource in {f"device_{stage.device}" for stage in STAGES if stage.device and HERE}:
    if resource not in workflow.global_resources:
        workflow.register_resource(resource, 1)


onstart: # of a run, not of a plan
    gc.enable()
    one_run.refuse_a_second()
    one_run.wait_for_others()


# A stage that DVC would run depends on a file of this moment: Snakemake goes by time stamps, which neither a deleted result
# in the middle nor an older copy of params.yaml has, and takes a newer file of the same content for unchanged.
STAMPS = {stage.name: Path(".cache/changed") / stage.name for stage in STAGES if stage.changed and not REMOTE}
for stamp in STAMPS.values():
    if workflow.is_main_process:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(str(time.time_ns()))


for stage in [] if REMOTE else STAGES:

    rule:
        name: stage.name
        default_target: stage.name == "report"
        input: [*stage.made, *filter(Path.exists, [STAMPS[stage.name]])] if stage.changed else ancient(stage.made)
        output: stage.files, directory(stage.folders)
        params:
            stage=stage.name,
            progress=f".cache/logs/{stage.name}.progress",
            on_gpus=gpus.command(stage.meta.get("gpu", 0)) if len(GPUS) > 1 else "",
            unlock=unlock.command([*stage.files, *stage.folders]) if SLURM else "",
        threads: RESERVED[stage.name].threads
        priority: stage.meta.get("priority", 0)
        resources: **RESERVED[stage.name].resources
        log: f".cache/logs/{stage.name}.log"
        message: "{params.stage}"
        conda: "workflow/envs/pipeline.yaml"
        shell:
            "{params.unlock}"
            "SR_PROGRESS={params.progress} {params.on_gpus}dvc --wait-for-lock repro --single-item {params.stage}"
            " > {log} 2>&1"


if REMOTE:

    include: "workflow/remote_storage.smk"


for name, members in groups(STAGES).items():

    rule:
        name: name
        input: [path for stage in members for path in (JOBS[stage.name].output if REMOTE else stage.files + stage.folders)]
