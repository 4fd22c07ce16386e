"""Records every executed stage as an MLflow run, nested under one run per state of the pipeline.

A state is a commit and a ``params.yaml``. Its run has the params, what changed since the state before, and once the
stage report has run the headline of every net, so that two states can be compared (``docs/tracking.md``).

The store is ``MLFLOW_TRACKING_URI``, or an SQLite file ``mlflow.db`` in the root of the repository with the artifacts
in ``mlartifacts/`` beside it. ``SR_TRACKING=off`` switches tracking off. A stage's results never depend on it, and hold
no run ids, which would change with every execution; instead a run is tagged with the hashes of its outputs.
"""

from pipeline_src.tracking.entries import content_hash
from pipeline_src.tracking.reading import copy_artifacts
from pipeline_src.tracking.runs import StageRun, stage_run
from pipeline_src.tracking.state import git_commit
from pipeline_src.tracking.store import EXPERIMENT

__all__ = ["EXPERIMENT", "StageRun", "content_hash", "copy_artifacts", "git_commit", "stage_run"]
