"""A store of MLflow that is old, deleted in part, out of reach, or stops while a stage runs: each is one sentence."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import forked
import pytest
from runs import runs_in, split, store_of

from pipeline_src.errors import UserError
from pipeline_src.tracking import EXPERIMENT, StageRun, runs, stage_run, store

STAGE = """
import sys
from pathlib import Path
from pipeline_src import command, tracking

def run():
    with tracking.stage_run("train", "abpn_x3", {"seed": 1}) as run:
        run.log_metrics({"psnr_y": 31.5})

sys.exit(command.exit_status(run))
"""


def failed_stage(folder: Path, **environment: str) -> str:
    """Return what a stage says in a process of its own before it ends with status 1."""
    (folder / "stage.py").write_text(STAGE)
    done = forked.run(folder, "stage", environment=os.environ | environment)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("pipeline_src")]


def test_a_deleted_experiment_is_restored_with_its_runs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with stage_run("train", "one", {}):
        pass
    client, runs = runs_in(store_of(folder))
    client.delete_experiment(runs[0].info.experiment_id)
    for item in ("two", "three"):
        with stage_run("train", item, {}):
            pass
    _, children = split(runs_in(store_of(folder))[1])
    assert sorted(run.info.run_name for run in children) == ["train@one", "train@three", "train@two"]
    (warning,) = ours(caplog)
    assert warning.startswith(f"the MLflow experiment {EXPERIMENT} had been deleted and is restored")


def test_a_store_of_another_version_of_mlflow_is_a_user_error(folder: Path) -> None:
    database = sqlite3.connect(folder / "mlflow.db")
    with database:
        database.execute("UPDATE alembic_version SET version_num = '97727af70f4d'")
    database.close()
    said = failed_stage(folder)
    assert said.startswith(
        f"error: the MLflow store {store_of(folder)} cannot be used (its tables are of another version"
    )
    assert f"run `mlflow db upgrade {store_of(folder)}`" in said
    assert said.count("\n") == 1


def test_a_server_that_is_not_there_is_a_user_error_without_mlflows_warnings(folder_without_store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = failed_stage(
        folder_without_store,
        MLFLOW_TRACKING_URI=f"http://me:secret@{address}",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",  # which is made at once
    )
    assert said == (
        f"error: the MLflow store http://me:***@{address} cannot be used (the server does not answer: Connection "
        "refused); start the server, correct MLFLOW_TRACKING_URI, or set SR_TRACKING=off to run without it\n"
    )


def test_a_server_that_never_answers_is_a_user_error(folder_without_store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts connections, and nobody answers
        said = failed_stage(
            folder_without_store,
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{silent.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="1",
        )
    assert "cannot be used (the server does not answer: timed out); start the server" in said
    assert said.count("\n") == 1


def test_a_server_is_given_up_within_30_seconds() -> None:
    """Timeouts, and what urllib3 waits between them: nothing before the first retry, then factor · 2ⁿ + 1 at most."""
    retries, timeout, factor = (
        int(store.DEFAULT_SETTINGS[f"MLFLOW_HTTP_REQUEST_{name}"])
        for name in ("MAX_RETRIES", "TIMEOUT", "BACKOFF_FACTOR")
    )
    pauses = [factor * 2 ** (retry - 1) + 1 for retry in range(2, retries + 1)]
    assert (retries + 1) * timeout + sum(pauses) <= 25, "a stage takes some seconds to begin"


def test_a_database_that_cannot_be_opened_is_a_user_error_within_seconds(folder_without_store: Path) -> None:
    (folder_without_store / "mlflow.db").mkdir()
    start = time.monotonic()
    said = failed_stage(folder_without_store)
    assert time.monotonic() - start < 30
    assert "unable to open database file" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("deleted", ["run", "experiment", "rows"])
def test_a_run_that_is_deleted_while_its_stage_runs_causes_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, deleted: str
) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        client, runs = runs_in(store_of(folder))
        (child,) = split(runs)[1]
        if deleted == "run":
            client.delete_run(child.info.run_id)
        elif deleted == "experiment":
            client.delete_experiment(child.info.experiment_id)
        else:  # as `mlflow gc` does
            database = sqlite3.connect(folder / "mlflow.db")
            database.executescript("DELETE FROM params; DELETE FROM tags; DELETE FROM runs")
            database.close()
        run.log_metrics({"psnr_y": 30.0})
        run.log_outputs(Path("params.yaml"))
        run.state.log_metrics({"abpn_x3/p50_ms": 3.0})
        with run.nested("trial 1", {}) as trial:
            trial.log_metrics({"psnr_y": 30.0})
    assert ours(caplog) == ["MLflow did not take metrics (the run has been deleted); the stage goes on without it"]


class Server:
    """The least of an MLflow server: one experiment, no runs before, and it takes whatever is sent.

    Attributes:
        uri: its address.
        requests: the last part of the address of each request, such as ``log-batch``.
        answers: whether requests are answered; if not, the connection is closed.
        fails_at: the last part of the address of requests that are answered with an error.
        page: what is answered in the place of MLflow's answers, if anything.
    """

    def __init__(self, artifacts: Path) -> None:
        self.requests: list[str] = []
        self.fails_at = ""
        self.page = b""
        self.answers = Event()
        self.answers.set()
        times = {"start_time": 1, "end_time": 1, "status": "RUNNING", "lifecycle_stage": "active"}
        run_id = uuid4().hex  # MLflow remembers in a process where the artifacts of a run are
        info = {"run_id": run_id, "run_uuid": run_id, "experiment_id": "1", "artifact_uri": artifacts.as_uri(), **times}
        experiment = {"experiment_id": "1", "name": EXPERIMENT, "lifecycle_stage": "active"}
        answer = json.dumps({"experiment": experiment, "run": {"info": info, "data": {}}, "run_info": info}).encode()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.requests.append(self.path.partition("?")[0].rpartition("/")[2])
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if server.answers.is_set():
                    self.send_response(500 if server.requests[-1] == server.fails_at else 200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    mlflows = b"{}" if "search" in self.path else answer
                    self.wfile.write((server.page or mlflows).ljust(len(answer)))

            do_GET = do_PATCH = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(folder_without_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the stages of this process use, without system metrics, retries, pauses and long timeouts."""
    server = Server(folder_without_store / "artifacts")
    Thread(target=server.http.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setattr(store, "SETTLED", 0)
    yield server
    server.http.shutdown()
    server.http.server_close()


def work(run: StageRun) -> None:
    """Log what a stage logs."""
    for step in range(10):
        run.log_point({"step": step, "train_loss": 1.0})
    run.log_metrics({"psnr_y": 30.0})
    run.log_outputs(Path("params.yaml"))
    run.state.log_metrics({"abpn_x3/p50_ms": 3.0})
    with run.nested("trial 1", {"lr": 0.1}) as trial:
        trial.log_metrics({"psnr_y": 30.0})


def test_nothing_is_asked_of_a_server_that_stopped_until_the_stage_ends(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        server.answers.clear()
        before = len(server.requests)
        work(run)
        assert server.requests[before:] == ["log-batch"]
    assert server.requests[before:] == ["log-batch"] * 2, "one more at the end, and only one"
    outage, lost = ours(caplog)
    assert outage == (
        "MLflow did not take metrics (the server does not answer: Remote end closed connection without response); "
        "the stage goes on, and asks again when it ends"
    )
    assert lost == (
        "the MLflow server still does not take it, and will never have metrics, params.yaml, tags, the run trial 1, "
        "params, 1 more of this stage"
    )


def test_a_server_that_is_back_at_the_end_gets_all_that_waited(
    server: Server, folder_without_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        server.answers.clear()
        work(run)
        server.answers.set()
        before = len(server.requests)
    sent = server.requests[before:]
    assert sent[:2] == ["log-batch"] * 2, "the points and the metric, in the order of their time"
    assert sent.count("create") == 1, "the trial"
    assert sent.count("update") == 3, "the ends of the runs of the trial, the stage and the state"
    assert (folder_without_store / "artifacts" / "params.yaml").is_file()
    assert ours(caplog)[1:] == ["the MLflow server answers again, and has everything that had to wait"]


def test_a_run_whose_beginning_was_not_answered_is_made_at_the_end(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store_opened = runs.open_store

    def open_store_and_stop() -> object:
        opened = store_opened()
        server.answers.clear()
        return opened

    monkeypatch.setattr(runs, "open_store", open_store_and_stop)
    with stage_run("train", "abpn_x3", {"seed": 1}) as run:
        work(run)
        server.answers.set()
        before = len(server.requests)
    assert server.requests[before:][:4] == ["create", "get", "update", "log-batch"], "the run, its state, its params"
    assert len(ours(caplog)) == 2


def test_one_request_that_the_server_cannot_serve_does_not_cost_the_others(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.fails_at = "log-inputs"
    with stage_run("train", "abpn_x3", {}) as run:
        run.log_data("train.h5", Path("params.yaml"), "training")
        work(run)
        before = len(server.requests)
    sent = server.requests[before:]
    assert sent[:2] == ["log-inputs", "log-batch"]
    assert sent.count("update") == 3, "the ends of the runs of the trial, the stage and the state"
    error, lost = ours(caplog)
    assert error.startswith("MLflow did not take the data set train.h5 (the server answers with an error: ")
    assert lost == "the MLflow server still does not take it, and will never have the data set train.h5 of this stage"


def test_a_server_that_shows_a_page_is_not_mlflow(server: Server) -> None:
    """As a proxy does that wants somebody to sign in."""
    server.page = b"<html>Sign in</html>"
    with pytest.raises(UserError, match=r"\(what answers there is not MLflow: no JSON\); correct MLFLOW_TRACKING_URI"):
        stage_run("train", "abpn_x3", {}).__enter__()


def test_why_a_server_does_not_answer_is_not_why_the_stage_failed(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with stage_run("train", "abpn_x3", {}):
            server.http.shutdown()
            server.http.server_close()
            raise UserError("the loss is not finite")

    with pytest.raises(UserError):
        fail()
    assert "the server does not answer: Connection refused" in ours(caplog)[0]


def test_mlflow_reports_nothing_home(folder: Path) -> None:
    """MLflow does not report from continuous integration or pytest, so this is a process without their variables."""
    code = (
        "import pipeline_src.tracking as tracking\n"
        "with tracking.stage_run('train', 'abpn_x3', {}): pass\n"
        "from mlflow.telemetry import utils\n"
        "print(utils.is_telemetry_disabled(), utils._IS_IN_CI_ENV_OR_TESTING)"
    )
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")} | {"HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("mysql+pymysql://me:secret@127.0.0.1:1/db", "No module named 'pymysql'); install that driver"),
        ("http://[::1", "Invalid IPv6 URL); correct MLFLOW_TRACKING_URI"),
    ],
)
def test_an_address_that_nothing_here_can_open_is_a_user_error(
    folder_without_store: Path, uri: str, reason: str
) -> None:
    said = failed_stage(folder_without_store, MLFLOW_TRACKING_URI=uri)
    assert said.startswith(f"error: the MLflow store {uri.replace('secret', '***')} cannot be used ({reason}")
    assert said.count("\n") == 1


def test_an_experiment_that_another_machine_creates_meanwhile_is_used(folder: Path) -> None:
    client, _ = runs_in(store_of(folder))
    both = {store._create_experiment(client, store_of(folder), folder) for _ in range(2)}
    assert both == {client.get_experiment_by_name(EXPERIMENT).experiment_id}
