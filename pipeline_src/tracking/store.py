"""The MLflow store: opening it, its experiment, and the run of a state."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.errors import UserError
from pipeline_src.paths import PARAMS, SCRATCH
from pipeline_src.tracking import state
from pipeline_src.tracking.entries import key, log_params
from pipeline_src.tracking.state import State

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

EXPERIMENT = "super-resolution"
LOCK_TIMEOUT = 300  # seconds; the first stage creates the store in several, and those that wait only look it up
STATE = "pipeline_state"  # tag of the run of a state
DEFAULT_SETTINGS = {  # environment variables of MLflow, for those that the user has not set
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # with MLflow's own 7, an unreachable server is reported after minutes
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    # In seconds. MLflow logs the first sample after one interval, so a stage shorter than this has no system metrics.
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "2",
}


@contextmanager
def failure_as_warning(content: str) -> Iterator[None]:
    """Turn an error of MLflow into a warning: a store that fails must not cost hours of training.

    Args:
        content: what MLflow should have taken, for the warning.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        log.warning("MLflow did not take %s (%s); the stage goes on without it", content, _reason(error))


def open_store() -> "tuple[MlflowClient, str, str]":
    """Return the client, the experiment's id and the id of the state's run, and create them if they are missing.

    A lock covers it all, because processes that create an SQLite store at the same time break it.

    Raises:
        UserError: if the store cannot be used, or if another process holds the lock for too long.
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
            return client, experiment_id, _state_run(client, experiment_id)
    except Timeout:
        raise UserError(
            f"another process has held {SCRATCH}/mlflow.lock for {LOCK_TIMEOUT} s; end it and retry"
        ) from None
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"the MLflow store {uri} cannot be used ({_reason(error)}); repair it, or set SR_TRACKING=off to run "
            "without it"
        ) from None


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _create_experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    server_decides = uri.startswith(("http://", "https://", "databricks"))
    location = None if server_decides else (root / "mlartifacts").as_uri()
    experiment_id: str = client.create_experiment(EXPERIMENT, location)
    return experiment_id


def _state_run(client: "MlflowClient", experiment_id: str) -> str:
    """Return the id of the run that stands for the present commit and params.yaml; create it if it is missing."""
    present = state.current()
    runs = client.search_runs([experiment_id], f"tags.{STATE} = '{present.identity}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id)
    earlier = client.search_runs(
        [experiment_id], f"tags.{STATE} LIKE '%'", order_by=["attributes.start_time DESC"], max_results=1
    )
    tags = {
        STATE: present.identity,
        "git_commit": present.commit,
        "mlflow.source.git.commit": present.commit,  # the column "Version" of the user interface
        "params_sha256": present.params_hash,
    }
    changed: list[str] = []
    if earlier:
        changed = state.changes(_recorded(earlier[0], present), present)
        tags |= {"compared_with": earlier[0].info.run_name, "changed": state.listed(changed)}
    name = state.run_name(present, changed)
    run_id: str = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    log_params(client, run_id, present.params)
    if PARAMS.is_file():
        client.log_artifact(run_id, str(PARAMS))
    return run_id


def _recorded(run: "Run", present: State) -> State:
    """Return the state that a run stands for; its keys are spelled as those of ``present``."""
    spelling = {key(name): name for name in present.params}
    params = {spelling.get(name, name): value for name, value in run.data.params.items()}
    return State(run.data.tags.get("git_commit", ""), run.data.tags.get("params_sha256", ""), params)


def _configure_mlflow() -> None:
    """Set MLflow's defaults for this pipeline; call this before the first import of mlflow."""
    for name, value in DEFAULT_SETTINGS.items():
        os.environ.setdefault(name, value)
    for chatty in ("alembic", "mlflow.store", "mlflow.system_metrics"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
