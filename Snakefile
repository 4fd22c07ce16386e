# One rule per stage of dvc.yaml, named as DVC names it (train@abpn_x3), and one per foreach (train).
# Snakemake schedules; each job asks DVC, which decides by content, runs, caches and writes dvc.lock.
import sys
from pathlib import Path
from shlex import quote

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))
from dvc_stages import groups, stages

# the dvc and python of the environment that runs Snakemake, also where it has not been activated
shell.prefix(f"export SR_LAUNCHER=snakemake PATH={quote(str(Path(sys.executable).parent))}:$PATH; ")

STAGES = stages(Path.cwd(), compare=workflow.is_main_process)


for stage in STAGES:

    rule:
        name: stage.name
        default_target: stage.name == "report"
        input: stage.inputs if stage.changed else ancient(stage.inputs)
        output: stage.files, directory(stage.folders)
        params: stage=stage.name
        threads: stage.meta["threads"]
        priority: stage.meta.get("priority", 0)
        resources: mem_mb=stage.meta["mem_mb"]
        log: f".cache/logs/{stage.name}.log"
        conda: "workflow/envs/pipeline.yaml"
        shell: "dvc --wait-for-lock repro --single-item {params.stage} 2>&1 | tee {log}"


for name, members in groups(STAGES).items():

    rule:
        name: name
        input: [path for stage in members for path in stage.files + stage.folders]
