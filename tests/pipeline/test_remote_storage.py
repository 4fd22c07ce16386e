"""What Snakemake is told of stages that share no file system."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import remote_storage
from dvc_stages import LockEntry, Stage, lock_entries, lock_text, merge_into_lock, stages
from remote_storage import Job
from shared import ROOT

from pipeline_src.errors import UserError

CHAIN = {"fetch": [], "train@a": ["results/fetch"], "train@b": ["results/fetch"], "report": ["results/train@a"]}


def stage(name: str, inputs: list[str]) -> Stage:
    return Stage(
        name=name,
        inputs=["code.py", *inputs],
        made=inputs,
        params=[],
        files=[],
        folders=[f"results/{name}"],
        meta={"threads": 1, "mem_mb": 700, "gpu": 1},
        nodes=1,
        cuda=False,
        device="",
        changed=True,
    )


def entry(name: str, inputs: list[str], run: bool) -> LockEntry:
    """The entry of a stage as it has to be, or as DVC writes it when the stage has run."""
    made = {path: f"hash of {path}" if run else None for path in inputs}
    return LockEntry(
        f"run {name}", {"code.py": "c0de", **made}, {"seed": 1}, {f"results/{name}": f"hash of results/{name}"}
    )


STAGES = [stage(name, inputs) for name, inputs in CHAIN.items()]
EXPECTED = {name: entry(name, inputs, run=False) for name, inputs in CHAIN.items()}
LOCKED = {name: entry(name, inputs, run=True) for name, inputs in CHAIN.items()}


def jobs(expected: dict[str, LockEntry], locked: dict[str, LockEntry]) -> dict[str, Job]:
    return remote_storage.jobs(STAGES, expected, locked)


def without(name: str) -> dict[str, LockEntry]:
    return {stage: entry for stage, entry in LOCKED.items() if stage != name}


def test_what_the_lock_has_needs_no_job() -> None:
    assert {job.entry for job in jobs(EXPECTED, LOCKED).values()} == {""}


def test_without_a_lock_each_job_gets_the_entries_of_what_it_depends_on_and_the_report_all() -> None:
    found = jobs(EXPECTED, {})
    assert found["fetch"].entries == []
    assert found["train@b"].entries == [found["fetch"].entry]
    assert found["train@b"].pulled == ["results/fetch"]
    assert found["report"].entries == [found[name].entry for name in ("fetch", "train@a", "train@b")]
    assert found["report"].pulled == ["results/train@a"]
    assert len({job.entry for job in found.values()}) == len(found)


def test_a_stage_that_is_missing_in_the_lock_runs_with_what_depends_on_it() -> None:
    found = jobs(EXPECTED, without("train@a"))
    assert {name for name, job in found.items() if job.entry} == {"train@a", "report"}
    assert found["train@a"].entries == [], "the lock that is sent along has that of fetch"
    assert found["report"].entries == [found["train@a"].entry]


@pytest.mark.parametrize(
    "change",
    [
        {"cmd": "run otherwise"},
        {"params": {"seed": 2}},
        {"deps": {"code.py": "new", "results/fetch": None}},
    ],
)
def test_another_command_code_or_param_is_another_entry(change: dict[str, object]) -> None:
    before = jobs(EXPECTED, {})
    after = jobs(EXPECTED | {"train@a": replace(EXPECTED["train@a"], **change)}, {})
    assert after["fetch"].entry == before["fetch"].entry
    assert after["train@b"].entry == before["train@b"].entry
    assert after["train@a"].entry != before["train@a"].entry
    assert after["report"].entry != before["report"].entry


def test_an_entry_is_of_the_results_that_it_was_made_of() -> None:
    """Weights of another machine are others under the same code and params."""
    of_another_machine = replace(LOCKED["fetch"], outs={"results/fetch": "other"})
    before = jobs(EXPECTED, {"fetch": LOCKED["fetch"]})
    after = jobs(EXPECTED, {"fetch": of_another_machine})
    assert after["train@a"].entry != before["train@a"].entry
    assert jobs(EXPECTED, LOCKED | {"fetch": of_another_machine})["train@a"].entry


def test_a_pod_asks_for_a_gpu_if_the_stage_cannot_do_without_one() -> None:
    train = stage("train@a", [])
    assert remote_storage.resources(train, here=False) == {"mem_mb": 700}
    on_gpu = {"mem_mb": 700, "gpu": 1, "gpu_manufacturer": "nvidia"}
    assert remote_storage.resources(replace(train, cuda=True), here=False) == on_gpu
    assert remote_storage.resources(train, here=True) == {"mem_mb": 700, "gpu": 1}


def test_the_report_and_measurements_of_devices_run_where_snakemake_does() -> None:
    names = ["fetch@set", "search@a", "measure@pi", "report"]
    assert [name for name in names if remote_storage.runs_here(name)] == ["measure@pi", "report"]


def test_a_folder_without_git_is_one_for_dvc(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    remote_storage.prepare(tmp_path, main=False)
    assert (tmp_path / ".dvc/config.local").read_text() == "[core]\n    no_scm = true\n"


LOCK = """schema: '2.0'
stages:
  b:
    cmd: run b
    outs:
    - path: results/b
      hash: md5
      md5: 0b
"""
NEW = """a:
  cmd: run a
  outs:
  - path: results/a
    hash: md5
    md5: 0a
"""


def test_entries_are_put_into_the_lock_and_taken_from_it(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    merge_into_lock(tmp_path, [NEW])  # of a machine that has none
    assert lock_entries(tmp_path)["a"].outs == {"results/a": "0a"}
    (tmp_path / "dvc.lock").write_text(LOCK)
    merge_into_lock(tmp_path, [NEW, NEW.replace("a:", "b:", 1).replace("0a", "new")])
    assert {name: [*entry.outs.values()] for name, entry in lock_entries(tmp_path).items()} == {
        "a": ["0a"],
        "b": ["new"],
    }
    assert lock_text(tmp_path, "a") == NEW


def test_a_lock_that_has_the_entries_is_not_written_again(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.lock").write_text(LOCK + "# kept\n")
    merge_into_lock(tmp_path, [lock_text(tmp_path, "b")])
    assert (tmp_path / "dvc.lock").read_text().endswith("# kept\n")


def test_settings_that_dvc_cannot_read_are_told(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[cor")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(UserError, match=r"DVC cannot read its settings \(.*\); correct \.dvc/config, or \.dvc/config"):
        stages(tmp_path)


def test_what_another_machine_would_lack_is_told(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc").mkdir()
    config, local = tmp_path / ".dvc/config", tmp_path / ".dvc/config.local"
    remote = "[core]\n    remote = there\n['remote \"there\"']\n    url = /there\n"
    config.write_text("")
    local.write_text(remote)  # which git does not carry
    with pytest.raises(UserError, match=r"storage=remote needs a default DVC remote in \.dvc/config; `dvc remote add"):
        remote_storage.prepare(tmp_path, main=True)
    config.write_text(remote)
    remote_storage.prepare(tmp_path, main=True)
    (tmp_path / "pipeline_src").mkdir()
    (tmp_path / "pipeline_src/new.py").write_text("")
    with pytest.raises(UserError, match=r"git does not know pipeline_src/new\.py, and only what git lists is sent"):
        remote_storage.prepare(tmp_path, main=True)
