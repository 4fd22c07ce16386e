"""The MLflow run of a stage, and of a trial in it."""

import math
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src.files import sha256
from pipeline_src.tracking import entries
from pipeline_src.tracking.store import failure_as_warning, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

SENT_EVERY = 5  # seconds between two requests with points of a curve; one takes the store some ten milliseconds


class StageRun:
    """An MLflow run. Without a client (tracking off, or not rank 0) every method does nothing.

    A store that fails causes a warning, and never an exception.

    Args:
        client: of the store.
        run_id: of the run.
        state_id: of the run of the pipeline's state.
    """

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "", state_id: str = "") -> None:
        self._client = client
        self._run_id, self._state_id = run_id, state_id
        self._points: list[Metric] = []  # that have not been sent yet
        self._next_request = -math.inf  # in the time of time.monotonic

    @property
    def state(self) -> "StageRun":
        """The run of the pipeline's state, under which the runs of its stages are nested."""
        return StageRun(self._client, self._state_id)

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
        if self._client is None:
            return
        with failure_as_warning("metrics"):
            entries.log_metrics(self._client, self._run_id, [metric for row in rows for metric in entries.metrics(row)])

    def log_point(self, row: Mapping[str, Any]) -> None:
        """Log metrics while a training runs.

        Points are sent together every few seconds, and the rest of them at the end of the run. If the store fails, all
        that follow wait for the end, because a server that does not answer would hold up the training again and again.

        Args:
            row: ``step`` and any metrics.
        """
        if self._client is None:
            return
        self._points += entries.metrics(row)
        if time.monotonic() >= self._next_request:
            self._next_request = math.inf  # if the request fails
            with failure_as_warning("metrics"):
                self._send_points(self._client)
                self._next_request = time.monotonic() + SENT_EVERY

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file or a folder into the run.

        Args:
            path: the file or the folder.
            folder: where to put it among the artifacts.
        """
        if self._client is None:
            return
        with failure_as_warning(str(path)):
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), f"{folder}/{path.name}" if folder else path.name)
            else:
                self._client.log_artifact(self._run_id, str(path), folder or None)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        if self._client is None:
            return
        with failure_as_warning("tags"):
            entries.log_tags(self._client, self._run_id, tags)

    def tag_outputs(self, *paths: Path) -> None:
        """Tag the run with the hashes of outputs, by which the run of a file can be found: ``output/<path>``."""
        if self._client is None:
            return
        with failure_as_warning("tags"):
            self.set_tags({f"output/{path.as_posix()}": entries.content_hash(path) for path in paths})

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
        if self._client is None:
            return
        with failure_as_warning(f"the data set {name}"):
            digest = digest or sha256(file)
            self._client.log_inputs(self._run_id, [entries.dataset(name, file, context, digest)])
            entries.log_tags(self._client, self._run_id, {f"sha256.{name}": digest})

    @contextmanager
    def nested(self, name: str, params: Mapping[str, Any]) -> "Iterator[StageRun]":
        """Record the block as a run under this one: FINISHED, or FAILED if the block raises.

        Args:
            name: of the nested run.
            params: its params.

        Yields:
            The nested run.
        """
        nested = self._begin_nested(name, params)
        status = "FAILED"
        try:
            yield nested
            status = "FINISHED"
        finally:
            nested.end(status)

    def _begin_nested(self, name: str, params: Mapping[str, Any]) -> "StageRun":
        """Return a new run under this one; one that does nothing if the store fails."""
        if self._client is None:
            return StageRun()
        with failure_as_warning(f"the run {name}"):
            experiment_id = self._client.get_run(self._run_id).info.experiment_id
            created = self._client.create_run(experiment_id, run_name=name, tags={"mlflow.parentRunId": self._run_id})
            entries.log_params(self._client, created.info.run_id, params)
            return StageRun(self._client, created.info.run_id, self._state_id)
        return StageRun()

    def end(self, status: str) -> None:
        """Send the points that are left, and end the run.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if self._client is None:
            return
        with failure_as_warning("metrics"):
            self._send_points(self._client)
        with failure_as_warning("the end of a run"):
            self._client.set_terminated(self._run_id, status)

    def _send_points(self, client: "MlflowClient") -> None:
        if self._points:
            entries.log_metrics(client, self._run_id, self._points)
            self._points.clear()


@contextmanager
def stage_run(stage: str, item: str | None, params: Mapping[str, Any]) -> Iterator[StageRun]:
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
    client, experiment_id, state_id = open_store()
    import mlflow

    name = f"{stage}@{item}" if item else stage
    run = StageRun()
    with failure_as_warning("the beginning of a run"):
        run_id = client.create_run(experiment_id, run_name=name, tags=_tags(stage, item, state_id)).info.run_id
        run = StageRun(client, run_id, state_id)
        client.update_run(state_id, status="RUNNING")
        mlflow.set_tracking_uri(client.tracking_uri)
        mlflow.start_run(run_id)  # starts its monitor of system metrics
        entries.log_params(client, run_id, params)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.log_metrics({"peak_memory_mb": _peak_memory_mb()})
        with failure_as_warning("the end of a run"):
            mlflow.end_run(status)
        run.end(status)
        run.state.end(status)


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
