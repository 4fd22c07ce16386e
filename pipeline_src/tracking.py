"""Records every executed stage as an MLflow run, nested under one run per state of the pipeline.

The store is ``MLFLOW_TRACKING_URI``, or an SQLite file ``mlflow.db`` in the root of the repository with the artifacts
in ``mlartifacts/`` beside it. ``SR_TRACKING=off`` switches tracking off. A stage's results never depend on it, and hold
no run ids, which would change with every execution; instead a run is tagged with the hashes of its outputs.
"""

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.paths import PARAMS, SCRATCH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

log = logging.getLogger(__name__)

EXPERIMENT = "super-resolution"
LOCK_TIMEOUT = 300  # seconds; the first stage creates the store in several, and those that wait only look it up
STATE = "pipeline_state"  # tag of a parent run
BATCH_LIMITS = {"metrics": 1000, "params": 100}  # entries per request that MLflow accepts
DEFAULT_SETTINGS = {  # environment variables of MLflow, for those that the user has not set
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # with MLflow's own 7, an unreachable server is reported after minutes
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    # In seconds. MLflow logs the first sample after one interval, so a stage shorter than this has no system metrics.
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "2",
}


class StageRun:
    """The MLflow run of one stage. Without a client (tracking off, or not rank 0) every method does nothing."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self._client = client
        self._run_id = run_id

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics of one moment.

        Args:
            metrics: values by name.
            step: training step at which they were measured; None outside training.
        """
        self.log_curve([{**metrics, "step": step or 0}])

    def log_curve(self, rows: Sequence[dict[str, Any]]) -> None:
        """Log metrics of many moments at once.

        Args:
            rows: each with ``step`` and any metrics; None for a metric that was not measured at this step.
        """
        if self._client is None:
            return
        with _failure_as_warning("metrics"):
            _log(self._client, self._run_id, "metrics", [metric for row in rows for metric in _metrics(row)])

    def log_artifact(self, path: Path) -> None:
        """Copy a file or a folder into the run."""
        if self._client is None:
            return
        with _failure_as_warning(str(path)):
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), path.name)
            else:
                self._client.log_artifact(self._run_id, str(path))

    def log_outputs(self, *paths: Path) -> None:
        """Copy outputs into the run, and tag it with their hashes, by which the run of a file can be found."""
        for path in paths:
            self.log_artifact(path)
            if self._client is not None:
                with _failure_as_warning("a tag"):
                    self._client.set_tag(self._run_id, _key(f"output/{path.as_posix()}"), content_hash(path))


def content_hash(path: Path) -> str:
    """Return the hex SHA-256 of a file, or of the names and hashes of all files under a folder."""
    if path.is_file():
        return sha256(path)
    files = sorted((file.relative_to(path).as_posix(), sha256(file)) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


@contextmanager
def stage_run(stage: str, item: str | None, params: dict[str, Any]) -> Iterator[StageRun]:
    """Record the block as the MLflow run ``stage@item``, with MLflow's system metrics.

    The run ends as FINISHED, as FAILED if the block raises, or as KILLED on Ctrl-C; the exception is raised again.
    A store that fails after the run has begun causes a warning, and the stage goes on.

    Args:
        stage: its name in ``dvc.yaml``.
        item: key of the stage's ``foreach``, such as a system; None for a stage without.
        params: logged under dotted names where they are nested.

    Yields:
        The run. It does nothing with ``SR_TRACKING=off``, and in all processes of a distributed run but rank 0.

    Raises:
        UserError: if the store cannot be opened.
    """
    if os.environ.get("SR_TRACKING") == "off" or os.environ.get("RANK", "0") != "0":
        yield StageRun()
        return
    client, experiment_id, parent_id = _open_store()
    import mlflow

    name = f"{stage}@{item}" if item else stage
    run_id = client.create_run(experiment_id, run_name=name, tags=_tags(stage, item, parent_id)).info.run_id
    client.update_run(parent_id, status="RUNNING")
    mlflow.set_tracking_uri(client.tracking_uri)
    mlflow.start_run(run_id)  # starts its monitor of system metrics
    status = "FAILED"
    try:
        _log(client, run_id, "params", _params(params))
        yield StageRun(client, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        with _failure_as_warning("the end of a run"):
            mlflow.end_run(status)
            client.set_terminated(parent_id, status)


def _tags(stage: str, item: str | None, parent_id: str) -> dict[str, str]:
    tags = {
        "mlflow.parentRunId": parent_id,
        "stage": stage,
        "launcher": _launcher(),
        "host": socket.gethostname(),
        "command": " ".join(sys.argv),
    }
    if item:
        tags["item"] = item
    if "DVC_STAGE" in os.environ:
        tags["DVC_STAGE"] = os.environ["DVC_STAGE"]
    return tags


@contextmanager
def _failure_as_warning(content: str) -> Iterator[None]:
    """Turn an error of MLflow into a warning: a store that fails must not cost hours of training."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        log.warning("MLflow did not take %s (%s); the stage goes on without it", content, reason)


def _open_store() -> "tuple[MlflowClient, str, str]":
    """Return the client, the experiment's id and the id of the parent run, and create them if they are missing.

    A lock covers it all, because processes that create an SQLite store at the same time break it.
    """
    from filelock import FileLock, Timeout

    _configure_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    root = Path.cwd()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    SCRATCH.mkdir(exist_ok=True)
    try:
        with FileLock(SCRATCH / "mlflow.lock", timeout=LOCK_TIMEOUT):
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            experiment_id = experiment.experiment_id if experiment else _create_experiment(client, uri, root)
            return client, experiment_id, _parent(client, experiment_id)
    except Timeout:
        raise UserError(
            f"another process has held {SCRATCH}/mlflow.lock for {LOCK_TIMEOUT} s; end it and retry"
        ) from None
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the MLflow store {uri} cannot be used ({reason}); repair it, or set SR_TRACKING=off to run without it"
        ) from None


def _create_experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    server_decides = uri.startswith(("http://", "https://", "databricks"))
    location = None if server_decides else (root / "mlartifacts").as_uri()
    experiment_id: str = client.create_experiment(EXPERIMENT, location)
    return experiment_id


def _parent(client: "MlflowClient", experiment_id: str) -> str:
    """Return the id of the run that stands for the present commit and params.yaml; create it if it is missing."""
    commit, params_hash = git_commit(), sha256(PARAMS) if PARAMS.is_file() else "no params"
    state = f"{commit} {params_hash}"
    runs = client.search_runs([experiment_id], f"tags.{STATE} = '{state}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id)
    name = f"{commit[:7]}{'+' * commit.endswith('+')} with params {params_hash[:7]}"
    tags = {STATE: state, "git_commit": commit, "params_sha256": params_hash}
    parent_id: str = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    if PARAMS.is_file():
        client.log_artifact(parent_id, str(PARAMS))
    return parent_id


def git_commit() -> str:
    """Return the commit of the working tree, with ``+`` if files have been changed since; ``no-git`` outside git.

    Files that the pipeline writes (``dvc.lock``, ``results``) do not count as changes, because a run must not change
    its own identity, nor does ``params.yaml``, which has a hash of its own.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!results", f":!{PARAMS}")
    except (OSError, subprocess.CalledProcessError):
        return "no-git"
    return commit + "+" * bool(changed)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _launcher() -> str:
    return os.environ.get("SR_LAUNCHER") or ("dvc" if "DVC_STAGE" in os.environ else "command line")


def _metrics(row: dict[str, Any]) -> "list[Metric]":
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    measured = [(name, float(value)) for name, value in row.items() if name != "step" and value is not None]
    return [Metric(_key(name), value, now, int(row["step"])) for name, value in measured]


def _params(params: dict[str, Any]) -> "list[Param]":
    from mlflow.entities import Param

    return [Param(_key(name), value) for name, value in _flattened("", params)]


def _flattened(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested dicts with their dotted names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flattened(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, str(value)


def _log(client: "MlflowClient", run_id: str, kind: str, entries: Sequence[Any]) -> None:
    for start in range(0, len(entries), BATCH_LIMITS[kind]):
        batch: dict[str, Any] = {kind: entries[start : start + BATCH_LIMITS[kind]]}
        client.log_batch(run_id, **batch)


def _key(name: str) -> str:
    """Replace the characters that MLflow refuses in a key: the name of an image set may have any."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _configure_mlflow() -> None:
    """Set MLflow's defaults for this pipeline; call this before the first import of mlflow."""
    for name, value in DEFAULT_SETTINGS.items():
        os.environ.setdefault(name, value)
    for chatty in ("alembic", "mlflow.store", "mlflow.system_metrics"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
