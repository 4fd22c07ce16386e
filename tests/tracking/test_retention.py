"""States that no commit has go from the store, after so many days and only if told to; all others stay."""

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import runs_in, split, store_of

from pipeline_src.cli.main import main
from pipeline_src.tracking import EXPERIMENT, retention, stage_run
from pipeline_src.tracking.retention import KEEP, PARENT
from pipeline_src.tracking.store import STATE

UNKNOWN = "0" * 40
OTHER = hashlib.sha256(b"other").hexdigest()


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(seed: int, code: str) -> tuple[str, str]:
    """Commit a params.yaml and a file of code; return the commit and the hash of params.yaml."""
    Path("params.yaml").write_text(f"seed: {seed}\n")
    Path("code.py").write_text(code)
    git("add", "params.yaml", "code.py")
    git("commit", "-m", "state")
    return git("rev-parse", "HEAD"), hashlib.sha256(Path("params.yaml").read_bytes()).hexdigest()


@pytest.fixture
def repository(folder: Path) -> Path:
    """A working folder in git, with a .gitignore for the store, so that a state can have no changed files."""
    git("init", "--quiet", "--initial-branch", "main")
    (folder / ".gitignore").write_text("mlflow.db\nmlartifacts\n.cache\n")
    git("add", ".gitignore")
    return folder


@pytest.fixture
def superres_runs(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs ``superres runs``, and returns its status and what it prints."""

    def run(*options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["runs", *options])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def record(folder: Path, state: str, days: int, **tags: str) -> Any:
    """Record a state whose last run was so many days ago: with a run of a stage, and a trial in it, with a file."""
    client, _ = runs_in(store_of(folder))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    location = (folder / "mlartifacts").as_uri()
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, location)
    start, parent = int((time.time() - days * 24 * 3600) * 1000), {STATE: state, **tags}
    for name in (f"state {state[:4]}", "tune@abpn_x3", "trial 1"):
        run_id = client.create_run(experiment_id, start, parent, run_name=name).info.run_id
        client.log_artifact(run_id, "params.yaml")
        client.set_terminated(run_id, end_time=start)
        parent = {PARENT: run_id}
    return run_id


def names(folder: Path) -> list[str]:
    """Return the names of the states' runs that are not deleted."""
    return sorted(run.info.run_name for run in split(runs_in(store_of(folder))[1])[0])


def test_states_that_no_commit_has_are_listed_then_deleted_then_collected(
    repository: Path, superres_runs: Callable[..., tuple[int, str, str]]
) -> None:
    first, first_params = commit(1, "first")
    record(repository, f"{first} {first_params}", 400)
    record(repository, f"{first}+ {first_params}", 399)
    record(repository, f"{first} {OTHER}", 398)
    record(repository, f"{UNKNOWN} {first_params}", 397)
    record(repository, f"{UNKNOWN[1:]}1 {first_params}", 10)
    record(repository, f"{UNKNOWN[2:]}22 {first_params}", 396, **{KEEP: "of the paper"})
    record(repository, "no-git no params", 395)
    commit(2, "second")
    assert len(names(repository)) == 7
    listed = (
        f"3 runs  state {first[:4]}: files had changes that were not committed\n",
        f"3 runs  state {first[:4]}: its params.yaml is in no commit\n",
        "3 runs  state 0000: its commit is in no branch or tag of this clone\n",
        "3 runs  state no-g: it ran outside git\n",
        "kept: 1, committed\n",
        "kept: 1, a run in the last 90 days\n",
        "kept: 1, the tag keep\n",
        "--delete would mark as deleted: 4 states, 12 runs\n",
    )
    status, said, errors = superres_runs()
    assert (status, errors, said.count("\n")) == (0, "", len(listed))
    assert [line for line in listed if line not in said] == []
    assert len(names(repository)) == 7, "listing changes nothing"

    status, said, _ = superres_runs("--delete")
    assert said.endswith("marked as deleted: 4 states, 12 runs; `mlflow gc` removes them with their files\n")
    assert names(repository) == sorted([f"state {first[:4]}", "state 0000", "state 0000"])
    files = repository / "mlartifacts"
    assert len(list(files.rglob("params.yaml"))) == 21, "until they are collected, they can be restored"

    from click.testing import CliRunner
    from mlflow.cli import gc

    uri = store_of(repository)
    collected = CliRunner().invoke(gc, ["--backend-store-uri", uri, "--tracking-uri", uri])
    assert collected.exit_code == 0, collected.output
    left = {run.info.run_id for run in runs_in(store_of(repository))[1]}
    assert len(left) == 9
    assert {file.parent.parent.name for file in files.rglob("params.yaml")} == left
    assert superres_runs("--older-than", "30")[1].endswith("nothing to delete\n")


def test_a_state_that_was_run_and_then_committed_stays(
    repository: Path, superres_runs: Callable[..., tuple[int, str, str]]
) -> None:
    """A changed params.yaml is run, and committed when its results are good: in the commit after the state's own."""
    first, _ = commit(1, "")
    _, later = commit(2, "")
    record(repository, f"{first} {later}", 400)
    commit(3, "")
    assert superres_runs()[1] == "kept: 1, committed\nnothing to delete\n"


@pytest.mark.parametrize("kept_by", ["a tag", "a branch", "nothing"])
def test_a_commit_stays_with_its_branch_or_tag(
    repository: Path, superres_runs: Callable[..., tuple[int, str, str]], kept_by: str
) -> None:
    commit(1, "")
    git("switch", "--quiet", "--create", "trial")
    trial, params = commit(2, "")
    record(repository, f"{trial} {params}", 400)
    git("switch", "--quiet", "main")
    record(repository, f"{git('rev-parse', 'HEAD')}+ {params}", 1)
    if kept_by == "a tag":
        git("tag", "v1", "trial")
    if kept_by != "a branch":
        git("branch", "-D", "trial")
    assert ("--delete would mark as deleted: 1 states" in superres_runs()[1]) == (kept_by == "nothing")


def test_the_state_of_this_folder_stays_however_old(
    repository: Path, superres_runs: Callable[..., tuple[int, str, str]]
) -> None:
    commit(1, "")
    Path("params.yaml").write_text("seed: 5\n")
    with stage_run("train", "abpn_x3", {}):
        pass
    states = retention.recorded()
    (verdict,) = retention.judge(states, retention.history(), days=1)
    assert (verdict.may_go, verdict.reason) == (False, "the state of this folder")
    assert superres_runs("--older-than", "1")[0] == 0


def test_a_clone_of_something_else_deletes_nothing(
    repository: Path, superres_runs: Callable[..., tuple[int, str, str]]
) -> None:
    commit(1, "")
    record(repository, f"{UNKNOWN} {OTHER}", 400)
    status, said, errors = superres_runs("--delete")
    assert (status, said) == (1, "")
    assert "has no state of a commit that this clone knows; run it in a clone of the repository" in errors
    assert len(names(repository)) == 1


def test_a_shallow_clone_deletes_nothing(
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    superres_runs: Callable[..., tuple[int, str, str]],
) -> None:
    commit(1, "")
    commit(2, "")
    clone = tmp_path_factory.mktemp("shallow") / "clone"
    git("clone", "--quiet", "--depth", "1", f"file://{repository}", str(clone))
    monkeypatch.chdir(clone)
    assert superres_runs() == (
        1,
        "",
        "error: this clone has only the last commits; run `git fetch --unshallow` first\n",
    )


def test_outside_git_it_is_one_sentence(folder: Path, superres_runs: Callable[..., tuple[int, str, str]]) -> None:
    status, said, errors = superres_runs()
    assert (status, said) == (1, "")
    assert errors == ("error: this folder is no git repository with a commit; run it in a clone of the pipeline\n")
