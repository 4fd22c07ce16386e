"""An executor of Snakemake whose nodes are folders of this machine that share nothing.

It does what that of Kubernetes does, with an empty folder in place of a pod: a shell runs the command of each job,
which fetches the sources from the storage and starts Snakemake, with no more of this environment than a secret brings.
Snakemake finds it by PYTHONPATH; SR_NODES is the folder that the nodes are made in.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=True,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,  # it is installed, as in the image
    init_seconds_before_status_checks=1,
)


class Executor(RemoteExecutor):
    """Starts a process for each job."""

    def run_job(self, job: JobExecutorInterface) -> None:
        """Start a job in a new folder."""
        node = Path(tempfile.mkdtemp(prefix=f"{job.name}-", dir=os.environ["SR_NODES"]))
        environment = self.envvars() | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(node),
            "GIT_CEILING_DIRECTORIES": str(node.parent),
        }
        with node.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self.format_job_exec(job)], cwd=node, env=environment, stdout=log, stderr=log
            )
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=str(process.pid), aux={"process": process}))

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended, and yield the others."""
        for info in active_jobs:
            status = info.aux["process"].poll()
            if status is None:
                yield info
            elif status == 0:
                self.report_job_success(info)
            else:
                self.report_job_error(info)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """End jobs."""
        for info in active_jobs:
            info.aux["process"].terminate()
            info.aux["process"].wait()
