"""The MLflow store: opening it, its experiment, and the run of a state."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline_src.errors import UserError
from pipeline_src.paths import PARAMS, SCRATCH
from pipeline_src.tracking import state
from pipeline_src.tracking.entries import key, log_params, unpacked
from pipeline_src.tracking.failures import failure
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
SETTLED = 3  # seconds, in which a server answers those that create the run of the same state at the same moment
LISTED = 5  # of what has not been recorded
WITHOUT, LATER = "the stage goes on without it", "the stage goes on, and asks again when it ends"
DATABASE_ATTEMPTS = 5  # to open a database, within 3 s; MLflow's 10 take 102 s
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
    """A client of MLflow, what its store has failed at in this process, and what waits for a server to answer again.

    Args:
        client: of the store.
    """

    def __init__(self, client: "MlflowClient") -> None:
        self.uri: str = client.tracking_uri
        self._client = client
        self._warned_of: set[str] = set()
        self._waiting: list[tuple[str, Callable[[MlflowClient], object]]] = []
        self._has_waited = False  # whether anything has had to wait
        self._ends = False  # whether the stage ends, so that nothing can be asked later
        self.answers = True  # until the server has failed at a request

    def attempt(self, content: str, request: "Callable[[MlflowClient], Result]") -> "Result | None":
        """Return what ``request(client)`` returns, or None if MLflow fails; there is one warning for each reason.

        A store that fails must not cost hours of training, so once a server has not answered a request, or only with an
        error of its own, this one and all that follow wait until :meth:`deliver` is called.

        Args:
            content: what MLflow should take, for the warning.
            request: makes requests with the client; it may be called again later.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not self.answers:
            self._waiting.append((content, request))
            return None
        stage_error = sys.exception()
        try:
            return request(self._client)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            failed = failure(error, _shown(self.uri), stage_error)
            if failed.may_pass:
                self._waiting.append((content, request))
                self._has_waited = True
                self.answers = self._ends and not failed.is_silence
            if failed.reason not in self._warned_of:
                self._warned_of.add(failed.reason)
                goes_on = LATER if failed.may_pass and not self._ends else WITHOUT
                log.warning("MLflow did not take %s (%s); %s", content, failed.reason, goes_on)
            return None

    def deliver(self) -> None:
        """Make the requests that wait, in their order, until one is not answered again: the stage ends."""
        waiting, self._waiting = self._waiting, []
        self.answers = self._ends = True
        for content, request in waiting:
            self.attempt(content, request)  # which lets it wait again, and those after it

    def tell_what_waits(self) -> None:
        """Say whether a server that did not answer has got everything in the end."""
        if self._waiting:
            contents = list(dict.fromkeys(content for content, _ in self._waiting))
            more = [f"{len(contents) - LISTED} more"] if len(contents) > LISTED else []
            log.warning(
                "the MLflow server still does not take it, and will never have %s of this stage",
                ", ".join(contents[:LISTED] + more),
            )
        elif self._has_waited:
            log.warning("the MLflow server answers again, and has everything that had to wait")


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
            store = Store(client)
            return store, experiment_id, _state_run(store, client, experiment_id)
    except Timeout:
        raise UserError(
            f"another process has held {SCRATCH}/mlflow.lock for {LOCK_TIMEOUT} s; end it and retry"
        ) from None
    except (MlflowException, SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(f"{refused(error)}, or set SR_TRACKING=off to run without it") from None


def address() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{Path.cwd() / 'mlflow.db'}"


def refused(error: Exception) -> str:
    """Return that the store cannot be used, why, and what to do, as the beginning of a message."""
    failed = failure(error, _shown(address()))
    return f"{named()} cannot be used ({failed.reason}); {failed.advice}"


def named() -> str:
    """Return what the store is called in messages."""
    return f"the MLflow store {_shown(address())}"


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _shown(uri: str) -> str:
    """Return the address of a store without its password."""
    return re.sub(r"(?<=://)([^/@]*):[^/@]*@", r"\1:***@", uri)


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
    from mlflow.exceptions import MlflowException

    location = None if _is_server(uri) else (root / "mlartifacts").as_uri()  # a server decides itself
    try:
        return str(client.create_experiment(EXPERIMENT, location))
    except MlflowException:
        if created := client.get_experiment_by_name(EXPERIMENT):  # meanwhile, by a stage on another machine
            return str(created.experiment_id)
        raise


def _state_run(store: Store, client: "MlflowClient", experiment_id: str) -> str:
    """Return the id of the run that stands for the present commit and params.yaml; create it if it is missing.

    The lock of :func:`open_store` is that of one folder. Stages that begin on several machines at the same moment may
    each create the run, and then all of them keep the first.
    """
    present = state.current()
    if found := _first_run(client, experiment_id, present):
        return found
    created = _create_state_run(client, experiment_id, present)
    if PARAMS.is_file():  # a server whose storage does not answer keeps no stage from its work
        store.attempt(str(PARAMS), lambda client: client.log_artifact(created, str(PARAMS)))
    if not _is_server(client.tracking_uri):
        return created
    time.sleep(SETTLED)
    first = _first_run(client, experiment_id, present) or created
    if first != created:
        client.set_terminated(created, "KILLED")  # not deleted, which a server does not permit every user
    return first


def _first_run(client: "MlflowClient", experiment_id: str, present: State) -> str:
    """Return the id of the oldest run of a state, or nothing if there is none."""
    of_state, oldest = f"tags.{STATE} = '{present.identity}'", ["attributes.start_time ASC", "attributes.run_id ASC"]
    runs = client.search_runs([experiment_id], of_state, max_results=1, order_by=oldest)
    return str(runs[0].info.run_id) if runs else ""


def _create_state_run(client: "MlflowClient", experiment_id: str, present: State) -> str:
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
    return run_id


def _recorded(run: "Run", present: State) -> State:
    """Return the state that a run stands for; its keys are spelled as those of ``present``."""
    spelling = {key(name): name for name in present.params}
    params = {spelling.get(name, name): value for name, value in unpacked(run.data.params).items()}
    return State(run.data.tags.get("git_commit", ""), run.data.tags.get("params_sha256", ""), params)


def configure_mlflow() -> None:
    """Set MLflow's defaults for this pipeline; call this before the first import of mlflow."""
    for name, value in DEFAULT_SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # without a warning for each retry
