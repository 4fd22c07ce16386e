"""The MLflow store: opening it, its experiment, and the run of a state."""

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline_src.errors import UserError
from pipeline_src.paths import PARAMS, SCRATCH
from pipeline_src.tracking import state
from pipeline_src.tracking.entries import key, log_params
from pipeline_src.tracking.state import State

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

Result = TypeVar("Result")

EXPERIMENT = "super-resolution"
LOCK_TIMEOUT = 300  # seconds; the first stage creates the store in several, and those that wait only look it up
SQLITE = "sqlite:///"
STATE = "pipeline_state"  # tag of the run of a state
DATABASE_ATTEMPTS = 5  # to open a database, within 3 s; MLflow's 10 take 102 s
# What MLflow says of a store that another version has made, and of a run that was deleted, also for good.
OTHER_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")
GONE = re.compile(r"Current state is deleted|Run with id=\S+ not found|Run '\S+' not found")
DEFAULT_SETTINGS = {  # environment variables of MLflow, for those that the user has not set
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # because what fails is a sentence of ours
    # A server that never answers takes 3 timeouts and up to 3 s between them: 24 s, where MLflow's own take 20 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",  # seconds
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",  # seconds before the second retry; MLflow adds up to one at random
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # of copies that take no time
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines at the end of each run, also of a trial
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    # In seconds. MLflow logs the first sample after one interval, so a stage shorter than this has no system metrics.
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "2",
}


class Store:
    """A client of MLflow, and what its store has failed at in this process.

    Args:
        client: of the store.
    """

    def __init__(self, client: "MlflowClient") -> None:
        self.uri: str = client.tracking_uri
        self._client = client
        self._warned_of: set[str] = set()
        self.answers = True  # until the server has not answered a request, which takes as long as its timeouts

    def attempt(self, content: str, request: "Callable[[MlflowClient], Result]") -> "Result | None":
        """Return what ``request(client)`` returns, or None after a warning if MLflow fails.

        A store that fails must not cost hours of training, so no request is made once the server has not answered one,
        until somebody sets ``answers`` again. There is one warning for each reason.

        Args:
            content: what MLflow should take, for the warning.
            request: makes requests with the client.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not self.answers:
            return None
        stage_error = sys.exception()
        try:
            return request(self._client)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            causes = _causes(error, stage_error)
            self.answers = not _is_unanswered(causes)
            reason = _reason(causes)
            if reason not in self._warned_of:
                self._warned_of.add(reason)
                log.warning("MLflow did not take %s (%s); the stage goes on without it", content, reason)
            return None


def open_store() -> tuple[Store, str, str]:
    """Return the store, the experiment's id and the id of the state's run, and create them if they are missing.

    A lock covers it all, because processes that create an SQLite store at the same time break it.

    Raises:
        UserError: if the store cannot be used, or if another process holds the lock for too long.
    """
    from filelock import FileLock, Timeout

    configure_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    root, uri = Path.cwd(), address()
    SCRATCH.mkdir(exist_ok=True)
    try:
        if _is_server(uri):
            # before the lock, where stages side by side would wait for one timeout after the other
            MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
        else:
            from mlflow.store.db import utils

            utils.MAX_RETRY_COUNT = DATABASE_ATTEMPTS
        with FileLock(SCRATCH / "mlflow.lock", timeout=LOCK_TIMEOUT):
            client = MlflowClient(uri)
            experiment_id = _experiment(client, uri, root)
            return Store(client), experiment_id, _state_run(client, experiment_id)
    except Timeout:
        raise UserError(
            f"another process has held {SCRATCH}/mlflow.lock for {LOCK_TIMEOUT} s; end it and retry"
        ) from None
    except (MlflowException, SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(f"{refused(error)}; {_advice(_causes(error), uri)}") from None


def address() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{Path.cwd() / 'mlflow.db'}"


def refused(error: Exception) -> str:
    """Return that the store cannot be used, and why, as the beginning of a message."""
    return f"{named()} cannot be used ({_reason(_causes(error))})"


def named() -> str:
    """Return what the store is called in messages."""
    return f"the MLflow store {_shown(address())}"


def is_of_no_run(error: Exception) -> bool:
    """Return whether a store says that it has no such run, or has it no more."""
    return bool(GONE.search(str(error)))


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _shown(uri: str) -> str:
    """Return the address of a store without its password."""
    return re.sub(r"(?<=://)([^/@]*):[^/@]*@", r"\1:***@", uri)


def _reason(causes: list[BaseException]) -> str:
    """Return why a request failed, in a few words; the same for every request that fails for this reason."""
    if _is_unanswered(causes):
        return f"the server does not answer: {getattr(causes[-1], 'strerror', None) or _first_line(causes[-1])}"
    if found := OTHER_SCHEMA.search(str(causes[0])):
        return f"its tables are of another version of MLflow: {found[1]}, not {found[2]}"
    if GONE.search(str(causes[0])):
        return "the run has been deleted"
    return _first_line(causes[0])


def _advice(causes: list[BaseException], uri: str) -> str:
    if _is_unanswered(causes):
        advice = "start the server, correct MLFLOW_TRACKING_URI"
    elif OTHER_SCHEMA.search(str(causes[0])):
        advice = f"copy it, then run `mlflow db upgrade {_shown(uri)}` with the newer MLflow of the two"
    elif isinstance(causes[0], ImportError):
        advice = "install that driver"
    elif isinstance(causes[0], ValueError):
        advice = "correct MLFLOW_TRACKING_URI"
    else:
        advice = "repair it"
    return f"{advice}, or set SR_TRACKING=off to run without it"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _causes(error: BaseException, before: BaseException | None = None) -> list[BaseException]:
    """Return an error, that which caused it, and so on to the first.

    Args:
        error: the last of them.
        before: an error that was handled meanwhile, which Python takes for the cause of the first.
    """
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause is not before:
        chain.append(cause)
    return chain


def _is_unanswered(causes: list[BaseException]) -> bool:
    """Whether no answer came to a request, or only one that MLflow retries (500, 503 …), as often as it retried."""
    from requests import HTTPError, RequestException

    return any(isinstance(cause, RequestException) and not isinstance(cause, HTTPError) for cause in causes)


def _experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    """Return the id of the experiment, which is created or restored if need be."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return _create_experiment(client, uri, root)
    experiment_id = str(experiment.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment_id)
        log.warning(
            "the MLflow experiment %s had been deleted and is restored with all of its runs, because MLflow keeps the "
            "name of a deleted one; to be rid of them, delete the runs",
            EXPERIMENT,
        )
    return experiment_id


def _create_experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    location = None if _is_server(uri) else (root / "mlartifacts").as_uri()  # a server decides itself
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


def configure_mlflow() -> None:
    """Set MLflow's defaults for this pipeline; call this before the first import of mlflow."""
    for name, value in DEFAULT_SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # without a warning for each retry
