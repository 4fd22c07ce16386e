"""The run of a state of the pipeline: what it is called, and what it says has changed."""

import subprocess
from pathlib import Path

import pytest
from runs import named, runs_in, split, store_of

from pipeline_src.tracking import entries, stage_run
from pipeline_src.tracking.state import LISTED_CHANGES, State, changes, listed, run_name


def run_stage(params: str = "") -> None:
    if params:
        Path("params.yaml").write_text(params)
    with stage_run("report", None, {}) as run:
        run.state.log_metrics({"abpn_x3/psnr_y_qat": 30.5})
        run.state.set_tags({"device": "a CPU"})
        run.state.log_artifact(Path("params.yaml"), "report")


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True, capture_output=True)


def test_a_state_says_what_changed_since_the_one_before(folder: Path) -> None:
    git("init")
    (folder / ".gitignore").write_text("mlflow.db\nmlartifacts\n.cache\n")
    git("add", ".")
    git("commit", "-m", "first")
    run_stage("seed: 1\nsystems: {a: {train: {lr: 0.002, steps: 5}}}\n")
    run_stage()
    run_stage("seed: 1\nsystems: {a: {train: {lr: 0.01, ema: 0.9}}}\n")
    (folder / "code.py").write_text("")
    git("add", ".")
    git("commit", "-m", "second")
    run_stage()
    client, runs = runs_in(store_of(folder))
    states, stages = split(runs)
    assert len(stages) == 4
    third, second, first = states
    commit = first.data.tags["git_commit"]
    assert first.info.run_name == f"{commit[:7]}, first state"
    assert "changed" not in first.data.tags
    assert second.info.run_name == f"{commit[:7]}, a.train.lr = 0.01 and 2 more"
    assert second.data.tags["changed"] == (
        "systems.a.train.lr: 0.002 → 0.01; systems.a.train.ema: – → 0.9; systems.a.train.steps: 5 → –"
    )
    assert second.data.tags["compared_with"] == first.info.run_name
    now = third.data.tags["git_commit"]
    assert third.info.run_name == f"{now[:7]}, code"
    assert third.data.tags["changed"] == f"code: {commit[:7]} → {now[:7]}"
    assert second.data.params == {"seed": "1", "systems.a.train.lr": "0.01", "systems.a.train.ema": "0.9"}
    assert second.data.metrics == {"abpn_x3/psnr_y_qat": 30.5}
    assert second.data.tags["device"] == "a CPU"
    assert [file.path for file in client.list_artifacts(second.info.run_id)] == ["params.yaml", "report"]


def test_a_run_of_many_systems_keeps_each_as_one_param(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MANY", 5)
    systems = "systems: {a: {model: abpn, train: {lr: 0.002}}, b: {model: edsr, train: {lr: %s}}}"
    run_stage(f"seed: 1\n{systems % 0.1}\nprune: {{}}\n")
    run_stage(f"seed: 1\n{systems % 0.2}\nsets: {{s: 1}}\n")
    run_stage(f"seed: 1\n{systems % 0.3}\nsets: {{s: 1}}\n")
    third, second, first = split(runs_in(store_of(folder))[1])[0]
    assert first.data.params.keys() == {
        "seed", "systems.a.model", "systems.a.train.lr", "systems.b.model", "systems.b.train.lr",
    }  # fmt: skip
    assert second.data.params["systems.b"] == '{"model": "edsr", "train.lr": "0.2"}'
    assert second.data.tags["changed"] == "systems.b.train.lr: 0.1 → 0.2; sets.s: – → 1"
    assert third.data.tags["changed"] == "systems.b.train.lr: 0.2 → 0.3"


def test_packed_params_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"seed": "1", "train.lr": "2", "systems.a.net.channels": "4", "systems.a.model": "a {", "sets.x": "{"}
    assert entries.packed(params) == params
    monkeypatch.setattr(entries, "MANY", 2)
    assert len(entries.packed(params)) == 4
    assert entries.unpacked(entries.packed(params)) == params
    long = params | {"systems.b.note": "n" * entries.LONGEST, "systems.b.model": "b"}
    assert entries.packed(long)["systems.b.model"] == "b"
    assert entries.unpacked(entries.packed(long)) == long


def test_a_name_that_mlflow_refuses_is_no_change(folder: Path) -> None:
    run_stage("sets: {été & co: {role: evaluation}}\n")
    run_stage("sets: {été & co: {role: training}}\n")
    changed = named(runs_in(store_of(folder))[1], "no-git, sets.été & co.role = training").data.tags["changed"]
    assert changed == "sets.été & co.role: evaluation → training"


def test_a_folder_without_params_has_a_state_too(folder: Path) -> None:
    (folder / "params.yaml").unlink()
    with stage_run("report", None, {}):
        pass
    (state,) = split(runs_in(store_of(folder))[1])[0]
    assert state.data.tags["params_sha256"] == "no params"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["seed"], "no-git, seed = 2"),
        (["k" * 80], f"no-git, {'k' * 59}…"),
        (["a", "b", "c"], "no-git, a = 2 and 2 more"),
    ],
)
def test_the_name_of_a_run_is_short(keys: list[str], name: str) -> None:
    before, after = (State("no-git", "", dict.fromkeys(keys, value)) for value in "12")
    assert run_name(after, changes(before, after)) == name


def test_of_many_changes_the_first_are_listed() -> None:
    changed = [f"k{number}: 1 → 2" for number in range(LISTED_CHANGES + 3)]
    assert listed(changed).endswith(f"k{LISTED_CHANGES - 1}: 1 → 2; 3 more")
    assert listed(changed[:2]) == "k0: 1 → 2; k1: 1 → 2"
