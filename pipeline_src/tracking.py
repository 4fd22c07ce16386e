"""What MLflow remembers: one run per executed stage, nested under one run per state of the pipeline.

The store is ``MLFLOW_TRACKING_URI``, or an SQLite file ``mlflow.db`` in the root of the repository with the artifacts
in ``mlartifacts/`` beside it. ``SR_TRACKING=off`` switches tracking off; a stage's results never depend on it. Run ids
are never written into results, since they would change with every run; a run carries the hashes of its outputs instead.
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
    from mlflow.entities import Metric
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

log = logging.getLogger(__name__)

EXPERIMENT = "super-resolution"
LOCK_TIMEOUT = 300  # seconds; making a store takes several, and each waiting stage only looks it up after that
SYSTEM_METRICS_EVERY = 5  # seconds; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL overrides
STATE = "pipeline_state"
LARGEST_BATCH = {"metrics": 1000, "params": 100}  # in one request: the limits of MLflow's interface


class StageRun:
    """The MLflow run of one stage; without a client (tracking off, or not rank 0) every method does nothing."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self._client = client
        self._run_id = run_id

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log values of one moment; ``step`` is where in training they were taken."""
        self.log_curve([{**metrics, "step": step or 0}])

    def log_curve(self, rows: Sequence[dict[str, Any]]) -> None:
        """Log many moments at once: each row has ``step`` and any metrics; a metric that is None was not measured."""
        if self._client is None:
            return
        with _or_say_so("metrics"):
            _log(self._client, self._run_id, "metrics", [metric for row in rows for metric in _metrics(row)])

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file, or of a folder, with the run."""
        if self._client is None:
            return
        with _or_say_so(str(path)):
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), path.name)
            else:
                self._client.log_artifact(self._run_id, str(path))

    def log_outputs(self, *paths: Path) -> None:
        """Keep copies of outputs with the run, and tag it with their hashes, which lead from a file to its run."""
        for path in paths:
            self.log_artifact(path)
            if self._client is not None:
                with _or_say_so("a tag"):
                    self._client.set_tag(self._run_id, _key(f"output/{path.as_posix()}"), content_hash(path))


def content_hash(path: Path) -> str:
    """Hex SHA-256 of a file, or of the names and hashes of all files under a folder."""
    if path.is_file():
        return sha256(path)
    files = sorted((file.relative_to(path).as_posix(), sha256(file)) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


@contextmanager
def stage_run(stage: str, item: str | None, params: dict[str, Any]) -> Iterator[StageRun]:
    """Record the block as the MLflow run ``stage@item``, with ``params`` (nested dicts are flattened to dotted names).

    A store that cannot be opened is a UserError; one that fails later is a warning, and the stage goes on.
    The run is FINISHED when the block ends well and FAILED when it raises (KILLED on Ctrl-C); the exception goes on.
    Only rank 0 of a distributed run records. With ``SR_TRACKING=off`` the object yielded does nothing.
    """
    if os.environ.get("SR_TRACKING") == "off" or os.environ.get("RANK", "0") != "0":
        yield StageRun()
        return
    name = f"{stage}@{item}" if item else stage
    client, experiment_id, parent_id = _open_store()
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
    run_id = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    client.update_run(parent_id, status="RUNNING")
    status = "FAILED"
    monitor = None
    try:
        _log(client, run_id, "params", _params(params))
        monitor = _start_monitor(client, run_id)
        yield StageRun(client, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        with _or_say_so("the end of a run"):
            if monitor:
                _stop_monitor(monitor)
            for ended in (run_id, parent_id):
                client.set_terminated(ended, status)


@contextmanager
def _or_say_so(what: str) -> Iterator[None]:
    """Go on without MLflow once a stage has begun: hours of training must not be lost to a store that went away."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0]
        log.warning("MLflow did not take %s (%s); the stage goes on without it", what, reason)


def _open_store() -> "tuple[MlflowClient, str, str]":
    """The client, the experiment, and the parent run of the present state, made if they are missing.

    All under one lock: processes that make an SQLite store at the same time break it.
    """
    from filelock import FileLock, Timeout

    _quieten()
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
            f"another process holds {SCRATCH}/mlflow.lock since {LOCK_TIMEOUT} s; end it and retry"
        ) from None
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the MLflow store {uri} cannot be used ({reason}); mend it, or set SR_TRACKING=off to run without it"
        ) from None


def _create_experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    server_decides = uri.startswith(("http://", "https://", "databricks"))
    return client.create_experiment(EXPERIMENT, None if server_decides else (root / "mlartifacts").as_uri())


def _parent(client: "MlflowClient", experiment_id: str) -> str:
    commit, params_hash = git_commit(), sha256(PARAMS) if PARAMS.is_file() else "no params"
    state = f"{commit} {params_hash}"
    found = client.search_runs([experiment_id], f"tags.{STATE} = '{state}'", max_results=1)
    if found:
        return found[0].info.run_id
    name = f"{commit[:7]}{'+' * commit.endswith('+')} with params {params_hash[:7]}"
    tags = {STATE: state, "git_commit": commit, "params_sha256": params_hash}
    parent_id = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    if PARAMS.is_file():
        client.log_artifact(parent_id, str(PARAMS))
    return parent_id


def git_commit() -> str:
    """The commit of the working tree, with ``+`` where it has been changed since; ``no-git`` outside git.

    What the pipeline itself writes (``dvc.lock``, ``results``) and ``params.yaml``, which is hashed by itself, do not
    count as changes: a run must not change its own identity.
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


def _params(params: dict[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from flat(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            yield prefix, str(value)

    return [Param(_key(name), value) for name, value in flat("", params)]


def _log(client: "MlflowClient", run_id: str, kind: str, entries: list[Any]) -> None:
    for start in range(0, len(entries), LARGEST_BATCH[kind]):
        batch: dict[str, Any] = {kind: entries[start : start + LARGEST_BATCH[kind]]}
        client.log_batch(run_id, **batch)


def _key(name: str) -> str:
    """``name`` with what MLflow refuses in a key replaced: an image set may be called anything."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _quieten() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own 7 take minutes to say that nobody answers
    for talkative in ("alembic", "mlflow.store", "mlflow.system_metrics"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _start_monitor(client: "MlflowClient", run_id: str) -> "SystemMetricsMonitor":
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, SYSTEM_METRICS_EVERY, tracking_uri=client.tracking_uri)
    monitor.start()
    return monitor


def _stop_monitor(monitor: "SystemMetricsMonitor") -> None:
    monitor.finish()
    # the loop drops its last, unfinished interval, which for a short stage is all there is
    monitor.collect_metrics()
    monitor.publish_metrics(monitor.aggregate_metrics())
    monitor.mlflow_logger.flush()
