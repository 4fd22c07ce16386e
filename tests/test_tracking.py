"""Runs of stages in an MLflow store that is missing, shared, elsewhere, switched off or broken."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline_src.errors import UserError
from pipeline_src.tracking import content_hash, git_commit, stage_run

ROOT = Path(__file__).resolve().parents[1]
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside git with a params.yaml, in an environment without settings for tracking."""
    for name in ("MLFLOW_TRACKING_URI", "SR_TRACKING", "SR_LAUNCHER", "DVC_STAGE", "RANK"):
        monkeypatch.setenv(name, "")  # so that it is restored even if the test, like MLflow, sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    return tmp_path


def train(item: str, seed: int = 1) -> None:
    with stage_run("train", item, {"seed": seed}) as run:
        run.log_metrics({"psnr_y": 31.5})


def runs_in(uri: str):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return client, client.search_runs([e.experiment_id for e in client.search_experiments()])


def split(runs):
    parents = [run for run in runs if "pipeline_state" in run.data.tags]
    return parents, [run for run in runs if run not in parents]


def test_eight_stages_can_create_the_store_at_the_same_time(folder: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STAGE, f"system_{i}"],
            env=os.environ | {"DVC_STAGE": f"train@system_{i}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(8)
    ]
    for process in processes:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
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
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with stage_run("train", "abpn_x3", {"seed": 1}) as run:
        run.log_metrics({"psnr_y": 31.5}, step=3)
        run.log_artifact(folder / "params.yaml")
        run.log_outputs(folder / "params.yaml")
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_the_tracking_uri_of_the_environment_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{folder / 'elsewhere.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    train("abpn_x3")
    assert not (folder / "mlflow.db").exists()
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
