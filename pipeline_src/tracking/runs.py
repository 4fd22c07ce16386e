"""The MLflow run of a stage, and of a trial in it."""

import math
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src.files import sha256
from pipeline_src.tracking import entries
from pipeline_src.tracking.store import Result, Store, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

SENT_EVERY = 5  # seconds between two requests with points of a curve; one takes the store some ten milliseconds


class StageRun:
    """An MLflow run. Without a store (tracking off, or not rank 0) every method does nothing.

    A store that fails causes a warning for each reason, and never an exception. When a server does not answer, nothing
    more is sent to it until the stage ends: what is logged meanwhile waits, and a file is read when it is sent.

    Args:
        store: where the run is.
        run_id: of the run; empty as long as the store has not made it.
        state_id: of the run of the pipeline's state.
    """

    def __init__(self, store: Store | None = None, run_id: str = "", state_id: str = "") -> None:
        self._store = store
        self.run_id, self._state_id = run_id, state_id
        self._start = _now()
        self._points: list[Metric] = []  # that have not been sent yet
        self._next_request = -math.inf  # in the time of time.monotonic

    @property
    def state(self) -> "StageRun":
        """The run of the pipeline's state, under which the runs of its stages are nested."""
        return StageRun(self._store, self._state_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics of one moment.

        Args:
            metrics: values by name.
            step: training step at which they were measured; None outside training.
        """
        self.log_curve([{**metrics, "step": step or 0}])

    def log_curve(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log metrics of many moments at once.

        Args:
            rows: each with ``step`` and any metrics; None for a metric that was not measured at this step.
        """
        if self._store is None:
            return
        points = [metric for row in rows for metric in entries.metrics(row)]
        self._attempt("metrics", lambda client: entries.log_metrics(client, self.run_id, points))

    def log_point(self, row: Mapping[str, Any]) -> None:
        """Log metrics while a training runs.

        Points are sent together every few seconds, and the rest of them at the end of the run. If the store fails, all
        that follow wait for the end, because a server that does not answer would hold up the training again and again.

        Args:
            row: ``step`` and any metrics.
        """
        if self._store is None:
            return
        self._points += entries.metrics(row)
        if time.monotonic() >= self._next_request:
            sent = self._attempt("metrics", self._send_points)
            self._next_request = time.monotonic() + SENT_EVERY if sent else math.inf

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file or a folder into the run.

        Args:
            path: the file or the folder.
            folder: where to put it among the artifacts.
        """

        def send(client: "MlflowClient") -> None:
            if path.is_dir():
                client.log_artifacts(self.run_id, str(path), f"{folder}/{path.name}" if folder else path.name)
            else:
                client.log_artifact(self.run_id, str(path), folder or None)

        self._attempt(str(path), send)

    def log_files(self, files: Mapping[str, Path]) -> None:
        """Copy any number of files into the run, together: a store that is asked for each takes a minute for thousands.

        Args:
            files: by their names among the artifacts, which may have folders.
        """

        def send(client: "MlflowClient") -> None:
            with tempfile.TemporaryDirectory() as folder:
                for name, file in files.items():
                    (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, Path(folder) / name)
                client.log_artifacts(self.run_id, folder)

        self._attempt("files", send)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params, under dotted names where they are nested."""
        self._attempt("params", lambda client: entries.log_params(client, self.run_id, params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        self._attempt("tags", lambda client: entries.log_tags(client, self.run_id, tags))

    def tag_outputs(self, *paths: Path) -> None:
        """Tag the run with the hashes of outputs, by which the run of a file can be found: ``output/<path>``."""

        def send(client: "MlflowClient") -> None:
            tags = {f"output/{path.as_posix()}": entries.content_hash(path) for path in paths}
            entries.log_tags(client, self.run_id, tags)

        self._attempt("tags", send)

    def log_outputs(self, *paths: Path) -> None:
        """Copy outputs into the run, and tag it with their hashes."""
        for path in paths:
            self.log_artifact(path)
        self.tag_outputs(*paths)

    def log_data(self, name: str, file: Path, context: str, digest: str = "") -> None:
        """Log that the run uses a data set, as a data set of MLflow and as the tag ``sha256.<name>``.

        Args:
            name: of the set.
            file: its manifest, or the file itself.
            context: ``training`` or ``evaluation``.
            digest: SHA-256 of ``file``, if the caller knows it.
        """

        def send(client: "MlflowClient") -> None:
            known = digest or sha256(file)
            client.log_inputs(self.run_id, [entries.dataset(name, file, context, known)])
            entries.log_tags(client, self.run_id, {f"sha256.{name}": known})

        self._attempt(f"the data set {name}", send)

    @contextmanager
    def nested(self, name: str, params: Mapping[str, Any]) -> "Iterator[StageRun]":
        """Record the block as a run under this one: FINISHED, or FAILED if the block raises.

        Args:
            name: of the nested run.
            params: its params.

        Yields:
            The nested run.
        """
        nested = StageRun(self._store, state_id=self._state_id)

        def begin(client: "MlflowClient") -> None:
            experiment_id = client.get_run(self.run_id).info.experiment_id
            nested.begin(client, experiment_id, name, {"mlflow.parentRunId": self.run_id})

        self._attempt(f"the run {name}", begin)
        nested.log_params(params)
        status = "FAILED"
        try:
            yield nested
            status = "FINISHED"
        finally:
            nested.end(status)

    def begin(self, client: "MlflowClient", experiment_id: str, name: str, tags: Mapping[str, str]) -> None:
        """Make the run in the store, unless it is there.

        Args:
            client: of the store.
            experiment_id: of the experiment that it belongs to.
            name: of the run.
            tags: of the run.
        """
        if not self.run_id:
            self.run_id = client.create_run(experiment_id, self._start, dict(tags), run_name=name).info.run_id

    def end(self, status: str) -> None:
        """Send the points that are left, and end the run.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        now = _now()
        self._attempt("metrics", self._send_points)
        self._attempt("the end of a run", lambda client: client.set_terminated(self.run_id, status, now))

    def _attempt(self, content: str, request: "Callable[[MlflowClient], Result]") -> "Result | None":
        if self._store is None:
            return None
        # A run that the store has refused to make gets nothing; one that waits to be made gets its id before all else.
        return self._store.attempt(content, lambda client: request(client) if self.run_id else None)

    def _send_points(self, client: "MlflowClient") -> bool:
        if self._points:
            entries.log_metrics(client, self.run_id, self._points)
            self._points.clear()
        return True


@contextmanager
def stage_run(stage: str, item: str | None, params: Mapping[str, Any]) -> Iterator[StageRun]:
    """Record the block as the MLflow run ``stage@item``, with MLflow's system metrics.

    The run ends as FINISHED, as FAILED if the block raises, or as KILLED on Ctrl-C; the exception is raised again.
    A store that fails after the run has begun causes a warning, and the stage goes on. At the end a server that did not
    answer is asked once more, and gets all that had to wait.

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
    store, experiment_id, state_id = open_store()
    run = StageRun(store, state_id=state_id)
    name, tags = f"{stage}@{item}" if item else stage, _tags(stage, item, state_id)

    def begin(client: "MlflowClient") -> None:
        run.begin(client, experiment_id, name, tags)
        client.update_run(state_id, status="RUNNING")

    store.attempt("the beginning of a run", begin)
    run.log_params(params)
    begun = bool(run.run_id) and store.answers  # what waits for the end measures nothing
    monitor = store.attempt("system metrics", lambda _: _monitor(store.uri, run.run_id)) if begun else None
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        store.deliver()
        run.log_metrics({"peak_memory_mb": _peak_memory_mb()})
        run.end(status)
        run.state.end(status)
        store.tell_what_waits()
        if monitor:
            store.attempt("system metrics", lambda _: monitor.finish())  # waits for a request of the monitor's thread


def _now() -> int:
    return int(time.time() * 1000)


def _monitor(uri: str, run_id: str) -> "SystemMetricsMonitor | None":
    """Return a thread that logs system metrics until it is told to finish; None if the user has switched them off.

    It is not that of ``mlflow.start_run``, which would end the run once more when the process ends.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        return None
    monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)
    monitor.start()
    return monitor


def _peak_memory_mb() -> float:
    """Return the most memory in MiB that this process had, and the largest one that it has started beside it."""
    most = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(most) / (2**20 if sys.platform == "darwin" else 2**10)


def _tags(stage: str, item: str | None, state_id: str) -> dict[str, str]:
    tags = {
        "mlflow.parentRunId": state_id,
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


def _launcher() -> str:
    return os.environ.get("SR_LAUNCHER") or ("dvc" if "DVC_STAGE" in os.environ else "command line")
