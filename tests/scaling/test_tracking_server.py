"""Stages that record on the tracking server of docs/scaling.md: many at once, while it is away, and refused by it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from copies import Copy, copied
from runs import named, runs_in, split
from tracking_server import TrackingServer, environment, free_port, missing, tracking_server

from pipeline_src.cli.main import main
from pipeline_src.tracking import EXPERIMENT, content_hash, stage_run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
SYSTEMS = [f"system_{i}" for i in range(8)]
STAGE = """
import sys
from pathlib import Path
from pipeline_src import command, tracking

def run():
    with tracking.stage_run("train", sys.argv[1], {"seed": 1}) as run:
        run.log_curve([{"step": step, "loss": 1 / step} for step in range(1, 1101)])
        run.log_outputs(Path("params.yaml"))

sys.exit(command.exit_status(run))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[TrackingServer]:
    with tracking_server() as server:
        yield server


@pytest.fixture
def as_client(server: TrackingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working folder outside git whose stages, in this process, record on the server."""
    use(monkeypatch, server.client())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("SR_TRACKING", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(f"seed: {time.time_ns()}\n")  # a state of its own


def use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def our_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("pipeline_src")]


def assert_recorded(runs: Any, names: list[str]) -> Any:
    """Assert that each of the runs is there once, ended well, under one run of the state; return that."""
    states, stages = split(runs)
    stages = [run for run in stages if run.info.run_name in names]
    assert sorted(run.info.run_name for run in stages) == sorted(names)
    assert {run.info.status for run in stages} == {"FINISHED"}
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in stages}
    (state,) = [state for state in states if state.info.run_id == parent]
    return state


def test_eight_machines_that_begin_at_once_share_the_experiment_and_the_run_of_the_state(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an empty server; machines share no folder, and so no lock."""
    variables = environment() | server.client() | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    commands = []
    for name in SYSTEMS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.yaml").write_text("seed: 1\n")
        (tmp_path / name / "stage.py").write_text(STAGE)
        commands.append(forked.start(tmp_path / name, "stage", name, environment=variables))
    for done in [command.completed() for command in commands]:
        assert (done.returncode, done.stderr) == (0, "")
    use(monkeypatch, server.client())
    client, runs = runs_in(server.uri)
    assert_recorded(runs, [f"train@{name}" for name in SYSTEMS])
    for name in SYSTEMS:
        run = named(runs, f"train@{name}")
        losses = client.get_metric_history(run.info.run_id, "loss")
        assert {(point.step, point.value) for point in losses} == {(step, 1 / step) for step in range(1, 1101)}
        assert run.data.params == {"seed": "1"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository with eight systems, and all that their trainings need."""
    copy = copied(tmp_path_factory.mktemp("copy") / "copy")
    params = yaml.safe_load((copy.folder / "params.yaml").read_text())
    system = params["systems"]["abpn_x3"]
    params |= {"systems": dict.fromkeys(SYSTEMS, system), "prune": {}, "devices": {}}
    (copy.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    copy.commit()
    for stage, *item in (("fetch", "photos"), ("fetch", "judged"), ("build_h5",)):
        copy.forked(f"pipeline_src.stages.{stage}", *item, SR_TRACKING="off")
    return copy


def test_eight_trainings_at_once_record_everything(
    server: TrackingServer, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [
        forked.start(copy.folder, "pipeline_src.stages.train", name, environment=environment() | server.client())
        for name in SYSTEMS
    ]
    for done in [command.completed() for command in commands]:
        assert (done.returncode, done.stderr) == (0, "")
    use(monkeypatch, server.client())
    client, runs = runs_in(server.uri)
    commit = copy.ran("git", "rev-parse", "HEAD").strip()
    of_commit = {run.info.run_id for run in split(runs)[0] if run.data.tags["git_commit"] == commit}
    runs = [run for run in runs if {run.info.run_id, run.data.tags.get("mlflow.parentRunId")} & of_commit]
    state = assert_recorded(runs, [f"train@{name}" for name in SYSTEMS])
    assert state.data.params["systems.system_7.train.steps"] == "4"
    objects = server.objects()
    for name in SYSTEMS:
        run = named(runs, f"train@{name}")
        weights = copy.folder / "results" / "nets" / name / "weights.safetensors"
        assert run.data.tags[f"output/results/nets/{name}/weights.safetensors"] == content_hash(weights)
        assert "sha256.train.h5" in run.data.tags
        assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["train.h5"]
        assert run.data.params["train.checkpoint_every"] == "2"
        assert run.data.metrics["peak_memory_mb"] > 0
        assert [point.step for point in client.get_metric_history(run.info.run_id, "psnr_y")] == [2, 4]
        folder = f"{run.info.experiment_id}/{run.info.run_id}/artifacts"
        assert objects[f"{folder}/weights.safetensors"] == weights.stat().st_size
        assert f"{folder}/curve.csv" in objects


@pytest.mark.parametrize(
    ("away", "stop", "start", "reason"),
    [
        ("server", TrackingServer.stop, TrackingServer.start, "the server does not answer: "),
        ("database", TrackingServer.stop_database, TrackingServer.start_database, "the server answers with an error: "),
    ],
    ids=["server", "database"],
)
def test_what_a_stage_logs_while_the_server_is_away_is_there_in_the_end(
    server: TrackingServer,
    as_client: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    away: str,
    stop: Callable[[TrackingServer], None],
    start: Callable[[TrackingServer], None],
    reason: str,
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    with stage_run("train", away, {"seed": 1}) as run:
        run.log_point({"step": 1, "train_loss": 1.0})
        stop(server)
        run.log_metrics({"psnr_y": 30.0})
        for step in range(2, 6):
            run.log_point({"step": step, "train_loss": 1 / step})
        run.log_data("train.h5", tmp_path / "weights.bin", "training")
        run.log_outputs(Path("weights.bin"))
        run.state.log_metrics({"abpn_x3/p50_ms": 3.0})
        with run.nested("trial 1", {"lr": 0.1}) as trial:
            trial.log_point({"step": 1, "psnr_y": 31.0})
        start(server)
    outage, back = our_warnings(caplog)
    assert outage.startswith(f"MLflow did not take metrics ({reason}")
    assert back == "the MLflow server answers again, and has everything that had to wait"
    client, runs = runs_in(server.uri)
    stage = named(runs, f"train@{away}")
    trial = named([run for run in runs if run.data.tags.get("mlflow.parentRunId") == stage.info.run_id], "trial 1")
    assert (stage.info.status, stage.data.metrics["psnr_y"]) == ("FINISHED", 30.0)
    points = client.get_metric_history(stage.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in points) == [(step, 1 / step) for step in range(1, 6)]
    assert stage.data.tags["output/weights.bin"] == content_hash(tmp_path / "weights.bin")
    assert server.objects()[f"{stage.info.experiment_id}/{stage.info.run_id}/artifacts/weights.bin"] == 7
    assert (trial.info.status, trial.data.params, trial.data.metrics["psnr_y"]) == ("FINISHED", {"lr": "0.1"}, 31.0)
    state = client.get_run(stage.data.tags["mlflow.parentRunId"])
    assert state.data.metrics == {"abpn_x3/p50_ms": 3.0}


def test_a_file_that_the_storage_did_not_take_is_there_in_the_end(
    server: TrackingServer, as_client: None, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop("storage")
    with stage_run("train", "storage", {"seed": 1}) as run:
        run.log_outputs(Path("params.yaml"))
        run.log_metrics({"psnr_y": 30.0})
        server.start_storage()
        server.run("bucket")  # this S3 server keeps everything in its memory
    run = named(runs_in(server.uri)[1], "train@storage")
    begin, back = our_warnings(caplog)
    assert begin.startswith("MLflow did not take params.yaml (the server ")
    assert back == "the MLflow server answers again, and has everything that had to wait"
    both = (run.info.run_id, run.data.tags["mlflow.parentRunId"])
    assert set(server.objects()) == {f"{run.info.experiment_id}/{run_id}/artifacts/params.yaml" for run_id in both}
    assert run.data.metrics["psnr_y"] == 30.0


def refused(server: TrackingServer, folder: Path, **variables: str) -> str:
    """Return what a stage says that ends with status 1, within 30 seconds."""
    (folder / "stage.py").write_text(STAGE)
    start = time.monotonic()
    done = forked.run(folder, "stage", "abpn_x3", environment=environment() | server.client() | variables)
    assert time.monotonic() - start < 30
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.endswith(", or set SR_TRACKING=off to run without it\n")
    return done.stderr


def test_a_server_that_refuses_is_one_sentence(server: TrackingServer, as_client: None, tmp_path: Path) -> None:
    begin = f"error: the MLflow store {server.uri} cannot be used ("
    said = refused(server, tmp_path, MLFLOW_TRACKING_PASSWORD="another password")
    assert said.startswith(
        f"{begin}the server does not accept this user name and password); correct MLFLOW_TRACKING_US"
    )
    said = refused(server, tmp_path, MLFLOW_TRACKING_USERNAME="", MLFLOW_TRACKING_PASSWORD="", HOME=str(tmp_path))
    assert said.startswith(f"{begin}the server asks for a user name and a password); set MLFLOW_TRACKING_USERNAME and")
    storage = f"http://127.0.0.1:{server.ports['9000']}"
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=storage)
    assert (
        f"{storage} cannot be used (what answers there is not MLflow: status 404); correct MLFLOW_TRACKING_URI" in said
    )
    database = f"http://127.0.0.1:{server.ports['5433']}"
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=database)
    assert "(the server does not answer: Remote end closed connection without response); start the server" in said


def test_with_tls_a_certificate_is_asked_for(
    server: TrackingServer, as_client: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("certificate")
    server.start("tls server")
    port = server.ports["tls"]
    trusted = str(server.folder / "server.crt")
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH=server.crt" in server.commands("tls client")

    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=server.tls_uri)
    assert "(its certificate is not trusted: self-signed certificate); set MLFLOW_TRACKING_SERVER_CERT_PATH to" in said
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=f"https://127.0.0.1:{free_port()}")
    assert "(the server does not answer: Connection refused); start the server, correct MLFLOW_TRACKING_URI" in said
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=server.tls_uri, MLFLOW_TRACKING_SERVER_CERT_PATH="none.crt")
    assert "(there is no file of certificates none.crt); correct MLFLOW_TRACKING_SERVER_CERT_PATH" in said
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=f"http://localhost:{port}")
    assert "start the server, correct MLFLOW_TRACKING_URI (https:// for a server with TLS)" in said
    said = refused(server, tmp_path, MLFLOW_TRACKING_URI=server.uri.replace("http:", "https:"))
    assert (
        "(there is no TLS connection to the server: WRONG_VERSION_NUMBER); correct MLFLOW_TRACKING_URI (http://" in said
    )
    said = refused(
        server, tmp_path, MLFLOW_TRACKING_URI=f"https://127.0.0.1:{port}", MLFLOW_TRACKING_SERVER_CERT_PATH=trusted
    )
    assert "(the server does not accept its host name in MLFLOW_TRACKING_URI); name it in --allowed-hosts" in said

    use(monkeypatch, {"MLFLOW_TRACKING_URI": server.tls_uri, "MLFLOW_TRACKING_SERVER_CERT_PATH": trusted})
    with stage_run("train", "with_tls", {}) as run:
        run.log_outputs(Path("params.yaml"))
    run = named(runs_in(server.tls_uri)[1], "train@with_tls")
    assert run.info.status == "FINISHED"
    assert f"{run.info.experiment_id}/{run.info.run_id}/artifacts/params.yaml" in server.objects()
    server.stop("tls server")


def test_runs_that_no_commit_has_go_from_the_server_and_the_storage(
    server: TrackingServer,
    copy: Copy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An administrator may delete them, and users may not; `mlflow gc` of the docs then removes their files."""
    use(monkeypatch, server.client())
    monkeypatch.chdir(copy.folder)
    client, _ = runs_in(server.uri)
    experiment_id = client.get_experiment_by_name(EXPERIMENT).experiment_id
    long_ago = int((time.time() - 400 * 24 * 3600) * 1000)
    head = copy.ran("git", "rev-parse", "HEAD").strip()
    tags = {"pipeline_state": f"{head}+ {'0' * 64}"}
    state = client.create_run(experiment_id, long_ago, tags, run_name="a trial").info.run_id
    nested = {"mlflow.parentRunId": state}
    stage = client.create_run(experiment_id, long_ago, nested, run_name="train@abpn_x3").info.run_id
    for run_id in (state, stage):
        client.log_artifact(run_id, "params.yaml")
        client.set_terminated(run_id, end_time=long_ago)
    before = server.objects()

    def superres_runs(*options: str) -> tuple[str, str]:
        with pytest.raises(SystemExit):
            main(["runs", *options])
        printed = capsys.readouterr()
        return printed.out, printed.err

    assert "2 runs  a trial: files had changes that were not committed" in superres_runs()[0]
    assert "(the server does not permit it to this user); ask its administrator" in superres_runs("--delete")[1]
    use(monkeypatch, server.administrator())
    assert "marked as deleted: 1 states, 2 runs" in superres_runs("--delete")[0]
    server.run("gc")
    assert server.objects() == before, "they can be restored for 30 days"
    monkeypatch.setattr(server, "commands", with_option(server, "--older-than 30d", "--older-than 0d"))
    server.run("gc")
    gone = {name for name in before if state in name or stage in name}
    assert len(gone) == 2
    assert server.objects() == {name: size for name, size in before.items() if name not in gone}
    assert {state, stage}.isdisjoint(run.info.run_id for run in client.search_runs([experiment_id], run_view_type=3))


def with_option(server: TrackingServer, option: str, other: str) -> Any:
    commands = server.commands
    return lambda name: commands(name).replace(option, other)
