"""Plans of many systems: every further system costs as much as the one before, and each file is looked at once."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

import dvc_files  # noqa: E402
from dvc.output import Output  # noqa: E402
from dvc_stages import expected_entries, stages  # noqa: E402


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without results."""
    for name in (".dvc/config", ".dvcignore", "dvc.yaml", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "pipeline_src").symlink_to(ROOT / "pipeline_src")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def with_systems(repository: Path, count: int) -> None:
    """Write params.yaml with so many systems and sets."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"prune": {}, "search": {}, "systems": {f"net_{i}": params["systems"]["abpn_x3"] for i in range(count)}}
    (repository / "params.yaml").write_text(yaml.safe_dump(params))


def calls_of_a_plan(repository: Path) -> int:
    """Return how many functions of Python are called while the stages are resolved and compared."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        stages(repository)
    finally:
        sys.setprofile(None)
    return calls


def test_every_further_system_costs_as_much_as_the_one_before(repository: Path) -> None:
    calls = []
    for count in (1, 4, 8, 12):  # the first imports
        with_systems(repository, count)
        calls.append(calls_of_a_plan(repository))
    _, four, eight, twelve = calls
    assert twelve - eight == pytest.approx(eight - four, rel=0.05)


def test_each_file_is_looked_at_once(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_systems(repository, 3)
    looked_at: Counter[str] = Counter()
    get_hash, load_yaml = Output.get_hash, dvc_files.load_yaml

    def counted_hash(self: Output) -> Any:
        looked_at[str(self.fs_path)] += 1
        return get_hash(self)

    def counted_load(path: str) -> Any:
        looked_at[path] += 1
        return load_yaml(path)

    monkeypatch.setattr(Output, "get_hash", counted_hash)
    monkeypatch.setattr(dvc_files, "load_yaml", counted_load)
    assert len(expected_entries(repository)) == 17
    assert looked_at[str(repository / "params.yaml")] == 1
    assert looked_at[str(repository / "pipeline_src/stages/train.py")] == 1
    assert {*looked_at.values()} == {1}
