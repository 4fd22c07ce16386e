"""Runs of stages in an MLflow store that is missing, shared, elsewhere, switched off or broken."""

import os
import subprocess
import time
from pathlib import Path

import forked
import pytest
from runs import named, runs_in, split, store_of

from pipeline_src.errors import UserError
from pipeline_src.tracking import content_hash, git_commit, stage_run

STAGE = """
import sys
from pathlib import Path
from pipeline_src.tracking import stage_run
with stage_run("train", sys.argv[1], {"seed": 1, "train": {"device": "cpu", "steps": 20}}) as run:
    run.log_metrics({"psnr_y": 31.5})
    run.log_curve([{"step": step, "loss": 1 / step, "psnr_y": None} for step in range(1, 1101)])
    run.log_artifact(Path("params.yaml"))
    run.log_outputs(Path("params.yaml"))
"""


def train(item: str, seed: int = 1) -> None:
    with stage_run("train", item, {"seed": seed}) as run:
        run.log_metrics({"psnr_y": 31.5})


def test_eight_stages_can_create_the_store_at_the_same_time(folder_without_store: Path) -> None:
    (folder_without_store / "stage.py").write_text(STAGE)
    commands = [
        forked.start(
            folder_without_store, "stage", f"system_{i}", environment=os.environ | {"DVC_STAGE": f"train@system_{i}"}
        )
        for i in range(8)
    ]
    for done in [command.completed() for command in commands]:
        assert (done.returncode, done.stderr) == (0, "")
    folder = folder_without_store
    client, runs = runs_in(f"sqlite:///{folder / 'mlflow.db'}")
    parents, children = split(runs)
    assert len(parents) == 1
    assert parents[0].data.tags["git_commit"] == "no-git"
    assert {run.info.run_name for run in children} == {f"train@system_{i}" for i in range(8)}
    for run in [*children, *parents]:
        assert run.info.status == "FINISHED"
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["DVC_STAGE"] == run.info.run_name
        assert run.data.tags["launcher"] == "dvc"
        assert run.data.tags["output/params.yaml"] == content_hash(folder / "params.yaml")
        assert run.data.params == {"seed": "1", "train.device": "cpu", "train.steps": "20"}
        assert run.data.metrics["psnr_y"] == 31.5
    losses = client.get_metric_history(children[0].info.run_id, "loss")
    assert {(m.step, m.value) for m in losses} == {(step, 1 / step) for step in range(1, 1101)}
    assert [f.path for f in client.list_artifacts(children[0].info.run_id)] == ["params.yaml"]
    assert (folder / "mlartifacts").is_dir()


def test_system_metrics_are_logged_while_a_stage_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with stage_run("train", "abpn_x3", {}):
        deadline = time.monotonic() + 60
        while not split(runs_in(uri)[1])[1][0].data.metrics and time.monotonic() < deadline:
            time.sleep(0.1)
    (run,) = split(runs_in(uri)[1])[1]
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_a_stage_that_raises_is_recorded_as_failed(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="the loss is NaN"), stage_run("train", "abpn_x3", {}):
        raise RuntimeError("the loss is NaN")
    _, runs = runs_in(f"sqlite:///{folder / 'mlflow.db'}")
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]


def test_each_state_of_the_pipeline_has_one_parent_run(folder: Path) -> None:
    train("one")
    train("two")
    (folder / "params.yaml").write_text("seed: 2\n")
    train("one", seed=2)
    parents, children = split(runs_in(f"sqlite:///{folder / 'mlflow.db'}")[1])
    seed_of = {parent.info.run_id: set() for parent in parents}
    for run in children:
        seed_of[run.data.tags["mlflow.parentRunId"]].add(run.data.params["seed"])
    assert sorted(seed_of.values(), key=sorted) == [{"1"}, {"2"}]
    assert sorted(run.info.run_name for run in children) == ["train@one", "train@one", "train@two"]


def test_an_image_set_may_have_any_name(folder: Path) -> None:
    with stage_run("fetch", "été & co", {"sets": {"été & co": {"role": "evaluation"}}}):
        pass
    _, children = split(runs_in(f"sqlite:///{folder / 'mlflow.db'}")[1])
    assert children[0].info.run_name == "fetch@été & co"
    assert list(children[0].data.params.values()) == ["evaluation"]


@pytest.mark.parametrize(("name", "value"), [("SR_TRACKING", "off"), ("RANK", "1")])
def test_nothing_is_recorded_when_switched_off_or_not_rank_0(
    folder_without_store: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with stage_run("train", "abpn_x3", {"seed": 1}) as run:
        run.log_metrics({"psnr_y": 31.5}, step=3)
        run.log_artifact(folder_without_store / "params.yaml")
        run.log_outputs(folder_without_store / "params.yaml")
    assert [path.name for path in folder_without_store.iterdir()] == ["params.yaml"]


def test_the_tracking_uri_of_the_environment_is_used(
    folder_without_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{folder_without_store / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    train("abpn_x3")
    assert not (folder_without_store / "mlflow.db").exists()
    assert {run.info.run_name for run in split(runs_in(uri)[1])[1]} == {"train@abpn_x3"}


def test_a_broken_store_is_a_user_error(folder: Path) -> None:
    (folder / "mlflow.db").write_text("not a database")
    with pytest.raises(UserError, match=r"the MLflow store sqlite:////.*mlflow\.db cannot be used.*SR_TRACKING=off"):
        train("abpn_x3")


def test_a_store_that_breaks_during_a_stage_causes_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        (folder / "mlflow.db").write_bytes(b"no database any more" * 999)
        run.log_metrics({"psnr_y": 30.0})
    assert "MLflow did not take metrics" in caplog.text


def test_files_that_the_pipeline_writes_do_not_change_git_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True, capture_output=True
        )

    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text("")
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    clean = git_commit()
    assert len(clean) == 40
    (tmp_path / "results").mkdir()
    for written in ("dvc.lock", "results/table.csv", "params.yaml"):
        (tmp_path / written).write_text("changed")
    assert git_commit() == clean
    (tmp_path / "code.py").write_text("changed")
    assert git_commit() == clean + "+"


def test_points_are_in_the_store_while_the_stage_runs_and_each_is_there_once(folder: Path) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        for step in range(1, 51):
            run.log_point({"step": step, "train_loss": 1 / step})
        client, runs = runs_in(store_of(folder))
        (during,) = split(runs)[1]
        assert during.info.status == "RUNNING"
        assert during.data.metrics["train_loss"] == 1
        sent = client.get_metric_history(during.info.run_id, "train_loss")
        assert len(sent) == 1, "the others wait, to be sent together"
    after = client.get_metric_history(during.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in after) == [(step, 1 / step) for step in range(1, 51)]


def test_points_of_a_stage_that_fails_are_kept(folder: Path) -> None:
    def fail() -> None:
        with stage_run("train", "abpn_x3", {}) as run:
            run.log_point({"step": 1, "train_loss": 2.0})
            run.log_point({"step": 2, "train_loss": 1.0})
            raise RuntimeError("the loss is NaN")

    with pytest.raises(RuntimeError):
        fail()
    (failed,) = split(runs_in(store_of(folder))[1])[1]
    assert failed.info.status == "FAILED"
    assert failed.data.metrics["train_loss"] == 1.0


def test_a_trial_is_a_run_under_that_of_its_stage(folder: Path) -> None:
    with stage_run("tune", "abpn_x3", {}) as run:
        with run.nested("trial 1", {"lr": 0.1}) as trial:
            trial.log_point({"step": 6, "psnr_y": 30.0})
            trial.log_point({"step": 12, "psnr_y": 31.0})
        with pytest.raises(UserError), run.nested("trial 2", {"lr": 1e30}):
            raise UserError("the loss is not finite")
    client, runs = runs_in(store_of(folder))
    stage, good, bad = (named(runs, name) for name in ("tune@abpn_x3", "trial 1", "trial 2"))
    for trial in (good, bad):
        assert trial.data.tags["mlflow.parentRunId"] == stage.info.run_id
    assert (good.info.status, bad.info.status, stage.info.status) == ("FINISHED", "FAILED", "FINISHED")
    assert (good.data.params, bad.data.params) == ({"lr": "0.1"}, {"lr": "1e+30"})
    assert [p.value for p in client.get_metric_history(good.info.run_id, "psnr_y")] == [30.0, 31.0]


def test_data_sets_and_files_are_known_by_their_hashes(folder: Path) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("file,width\na.png,3\n")
    (folder / "net.tflite").write_bytes(b"net")
    with stage_run("export", "abpn_x3", {}) as run:
        run.log_data("été & co", manifest, "evaluation")
        run.log_data("train.h5", Path("train.h5"), "training", digest="0" * 64)
        run.log_artifact(folder / "net.tflite", "abpn_x3/l1_50")
        run.tag_outputs(Path("net.tflite"))
    client, runs = runs_in(store_of(folder))
    run = named(runs, "export@abpn_x3")
    inputs = {entry.dataset.name: (entry.dataset.digest, entry.tags[0].value) for entry in run.inputs.dataset_inputs}
    digest = content_hash(manifest)
    assert inputs == {"été & co": (digest[:36], "evaluation"), "train.h5": ("0" * 36, "training")}
    assert run.data.tags["sha256.été _ co"] == digest
    assert run.data.tags["output/net.tflite"] == content_hash(folder / "net.tflite")
    found = client.list_artifacts(run.info.run_id, "abpn_x3/l1_50")
    assert [file.path for file in found] == ["abpn_x3/l1_50/net.tflite"]


def test_many_files_are_copied_into_the_run_together(folder: Path) -> None:
    files = {f"benchmark/net_{number}/benchmark.csv": folder / f"{number}.csv" for number in range(3)}
    for name, file in files.items():
        file.write_text(name)
    with stage_run("report", None, {}) as run:
        run.log_files(files | {"index.html": folder / "0.csv"})
    client, runs = runs_in(store_of(folder))
    run_id = named(runs, "report").info.run_id
    assert [file.path for file in client.list_artifacts(run_id)] == ["benchmark", "index.html"]
    copied = client.download_artifacts(run_id, "benchmark", str(folder))
    assert {file.read_text() for file in Path(copied).rglob("*.csv")} == {*files}


def test_a_store_that_breaks_causes_one_warning_and_a_file_that_is_missing_another(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stage_run("train", "abpn_x3", {}) as run:
        (folder / "mlflow.db").write_bytes(b"no database any more" * 999)
        for step in range(100):
            run.log_point({"step": step, "train_loss": 1.0})
        run.log_data("train.h5", Path("missing.h5"), "training")
        run.log_outputs(Path("params.yaml"), Path("missing.csv"))
        run.state.log_metrics({"abpn_x3/p50_ms": 3.0})
        with run.nested("trial 1", {"lr": 0.1}) as trial:
            trial.log_point({"step": 1, "psnr_y": 30.0})
    ours = [record for record in caplog.records if record.name.startswith("pipeline_src")]  # MLflow's threads log too
    warnings = [record.getMessage() for record in ours]
    assert [text.partition(" (")[0] for text in warnings] == [
        "MLflow did not take metrics",
        "MLflow did not take the data set train.h5",
    ]
    for text, reason in zip(warnings, ("not a database", "missing.h5"), strict=True):
        assert reason in text
