"""DVC's list of the stages that run, from which a stage takes those that were killed on another machine."""

import json
from pathlib import Path

import unlock

ENTRY = {"pid": 1, "cmd": "dvc repro"}  # a process that every machine has


def test_only_entries_of_the_own_files_go(tmp_path: Path) -> None:
    own, beside, other = (str(tmp_path / "results" / name) for name in ("nets/a/w", "nets/b/w", "h5"))
    within, above = str(tmp_path / "results/export/a/file"), str(tmp_path / "results/nets/a")
    running = {
        "read": {own: [ENTRY], above: [ENTRY], other: [ENTRY]},
        "write": {own: ENTRY, beside: ENTRY, within: ENTRY},
    }
    (tmp_path / unlock.RUNNING).parent.mkdir(parents=True)
    (tmp_path / unlock.RUNNING).write_text(json.dumps(running))
    unlock.unlock(tmp_path, ["results/nets/a/w", "results/export/a"])
    left = json.loads((tmp_path / unlock.RUNNING).read_text())
    assert left == {"read": {other: [ENTRY]}, "write": {beside: ENTRY}}


def test_without_a_list_there_is_nothing_to_do(tmp_path: Path) -> None:
    unlock.unlock(tmp_path, ["results/nets/a/w"])
    assert not list(tmp_path.iterdir())
