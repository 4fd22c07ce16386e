"""Compare the memory that stages took with ``mem_mb`` in dvc.yaml: ``python workflow/memory_check.py``, after a run.

The figures are those that each stage logs at its end, ``peak_memory_mb`` of its last run in MLflow: of its own process,
and of the largest one that it has started.
"""

import os
import sys
from pathlib import Path

from dvc_stages import stages

from pipeline_src.command import exit_status
from pipeline_src.errors import UserError

ROOT = Path(__file__).parents[1]


def check(root: Path) -> None:
    """Print the peak and the limit of each stage.

    Args:
        root: of the repository.

    Raises:
        UserError: if a stage took more than its limit, or none has been measured.
    """
    measured = _peaks(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}")
    above: list[str] = []
    print(f"{'stage':<24}{'peak (MiB)':>12}{'mem_mb':>9}")
    for stage in stages(root, compare=False):
        if stage.name in measured:
            peak, limit = measured[stage.name], stage.meta["mem_mb"]
            print(f"{stage.name:<24}{peak:>12.0f}{limit:>9}")
            above += [stage.name] if peak > limit else []
    if not measured:
        raise UserError("MLflow has no run of a stage with its memory; run make report first")
    if above:
        raise UserError(f"{', '.join(above)} took more memory than dvc.yaml says; raise mem_mb there")


def _peaks(uri: str) -> dict[str, float]:
    """Return the peak in MiB of the last run of each stage; of a stage with a run for each net the largest."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    peaks: dict[str, float] = {}
    runs = client.search_runs(experiments, "metrics.peak_memory_mb > 0", order_by=["attributes.start_time DESC"])
    for run in runs:
        name = run.data.tags.get("DVC_STAGE", "")
        peaks.setdefault(name, run.data.metrics["peak_memory_mb"])
    return peaks


if __name__ == "__main__":
    sys.exit(exit_status(check, ROOT))
