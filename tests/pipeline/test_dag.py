"""Snakemake's DAG is DVC's DAG, and both are what dvc.yaml says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from dvc_stages import groups, stages  # noqa: E402

Edge = tuple[str, str]  # from a stage to one that needs it


@pytest.fixture(scope="module")
def found():
    return stages(ROOT, compare=False)


def out_of(*command: str) -> str:
    done = forked.run(ROOT, *command, environment=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def edges(found) -> set[Edge]:
    maker = {out: stage.name for stage in found for out in stage.files + stage.folders}
    return {(maker[path], stage.name) for stage in found for path in stage.inputs if path in maker}


def test_the_stages_are_those_that_dvc_lists(found) -> None:
    listed = out_of("dvc", "stage", "list", "--all", "--name-only").split()
    assert sorted(stage.name for stage in found) == sorted(listed)
    assert {"build_h5", "report", "train@abpn_x3"} <= set(listed)


def test_the_edges_are_those_of_dvc(edges: set[Edge]) -> None:
    assert edges == set(re.findall(r'"([^"]+)" -> "([^"]+)"', out_of("dvc", "dag", "--dot")))


def test_the_edges_are_those_of_snakemake(found, edges: set[Edge]) -> None:
    graph = out_of("snakemake", "--nolock", "--rulegraph", "--", "report")
    name = dict(re.findall(r'(\d+)\[label = "([^"]+)"', graph))
    assert set(name.values()) == {stage.name for stage in found}
    assert edges == {(name[a], name[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)}


def test_each_foreach_is_one_target(found) -> None:
    listed = out_of("snakemake", "--nolock", "--list-rules", "--quiet", "all").split()
    assert sorted(listed) == sorted({stage.name for stage in found} | set(groups(found)))
    systems = yaml.safe_load((ROOT / "params.yaml").read_text())["systems"]
    assert [stage.name for stage in groups(found)["train"]] == [f"train@{system}" for system in systems]


def test_every_stage_names_its_threads_and_memory(found) -> None:
    for stage in found:
        assert stage.meta["threads"] >= 1
        assert 100 <= stage.meta["mem_mb"] <= 6000


def test_each_stage_is_its_script_its_command_and_its_folder(found) -> None:
    for stage in found:
        verb, _, item = stage.name.partition("@")
        assert f"pipeline_src/stages/{verb}.py" in stage.inputs
        for out in stage.files + stage.folders:
            assert Path(out).parts[1] in (verb, "nets")
            assert not item or item in Path(out).parts


def test_each_device_serves_one_stage_at_a_time(tmp_path: Path) -> None:
    for name in (".dvc/config", ".dvcignore", "dvc.yaml", "Snakefile", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    for name in ("pipeline_src", "workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["devices"] = {"here": {}, "pi": {"ssh": "pi"}, "phone": {"adb": "A1", "benchmark_model": "b"}}
    params["search"]["ofa_sr"]["latency"]["device"] = "pi"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    used = {stage.name: stage.device for stage in stages(tmp_path, compare=False)}
    assert {name: device for name, device in used.items() if device} == {
        "measure@pi": "pi", "measure@phone": "phone", "search@ofa_sr": "pi",
    }  # fmt: skip
