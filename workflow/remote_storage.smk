# One rule per stage where jobs share no file system (--config storage=remote): see remote_storage.py.
# Snakemake sees the entries of dvc.lock alone; what the stages read and write goes through the DVC remote.

for stage in STAGES:
    job = JOBS[stage.name]

    if job.entry:

        rule:
            name: stage.name
            default_target: stage.name == remote_storage.LAST
            localrule: remote_storage.runs_here(stage.name)
            input: ancient(job.entries)
            output: job.entry
            params:
                stage=stage.name,
                pulled=[quote(path) for path in job.pulled],
                into="&>" if remote_storage.runs_here(stage.name) else "|& tee", # the log of a pod is what it prints
            threads: RESERVED[stage.name].threads
            priority: stage.meta.get("priority", 0)
            resources: **remote_storage.resources(stage, HERE)
            log: f".cache/logs/{stage.name}.log"
            message: "{params.stage}"
            shell:
                "PYTHONPATH=. python workflow/remote_storage.py {params.stage} {output:q} --pull {params.pulled}"
                " --entries {input:q} {params.into} {log:q}"

    else: # dvc.lock has its entry already

        rule:
            name: stage.name
            default_target: stage.name == remote_storage.LAST
            input: local("dvc.lock")
