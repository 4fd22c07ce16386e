"""dvc.lock is of a run of the code that stands beside it, without looking at results."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dvc_stages
import lock_check
import pytest
import yaml
from shared import ROOT

from pipeline_src.errors import UserError

DVC_YAML = """
stages:
  train:
    foreach: ${nets}
    do:
      cmd: cp code/train.py results/${key}.txt
      deps: [code/train.py, code/library]
      params: ["nets.${key}"]
      outs: ["results/${key}.txt"]
  report:
    cmd: cat results/small.txt results/large.txt > results/report.txt
    deps: [code/report.py, results/small.txt, results/large.txt]
    params: [title]
    outs: [results/report.txt: {cache: false}]
"""
FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": "title: all nets\nnets: {small: {layers: 2}, large: {layers: 9}}\n",
    "code/train.py": "train\n",
    "code/report.py": "report\n",
    "code/library/layers.py": "layers\n",
    ".gitignore": "/results\n__pycache__\n",
    ".dvcignore": "__pycache__\n",
}
RUN = "; run make report and commit dvc.lock"


def ran(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after a run of two stages."""
    folder = tmp_path_factory.mktemp("run")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for command in ("git init --quiet", "dvc init --quiet", "mkdir results", "dvc repro"):
        done = ran(folder, *command.split())
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def repository(run_repository: Path, tmp_path: Path) -> Path:
    """A clone of it, so without results and without a cache."""
    ignored = shutil.ignore_patterns("results", "cache", "tmp")
    return shutil.copytree(run_repository, tmp_path / "clone", ignore=ignored)


def replace(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        lock_check.check(folder)
    return str(caught.value).removeprefix("dvc.lock does not fit the code: ").removesuffix(RUN)


def test_a_lock_of_this_code_fits_without_results(repository: Path) -> None:
    (repository / "code" / "library" / "__pycache__").mkdir()
    (repository / "code" / "library" / "__pycache__" / "layers.pyc").write_text("compiled")
    lock_check.check(repository)
    assert not (repository / "results").exists()


CHANGES = [
    ("code/report.py", "report", "page", "report was run with another code/report.py"),
    ("code/library/layers.py", "layers", "conv", "train@small was run with another code/library"),
    ("dvc.yaml", ", code/library]", "]", "train@small was run with code/library, which it no longer has"),
    ("dvc.yaml", "[code/report.py,", "[code/report.py, code/train.py,", "report was run without code/train.py"),
    ("dvc.yaml", "cmd: cat", "cmd: head", "report was run by another command, `cat results/small.txt "),
    ("params.yaml", "layers: 9", "layers: 8", "train@large was run with another nets.large of params.yaml"),
    ("dvc.yaml", "[title]", "[title, nets]", "report was run without nets of params.yaml"),
    ("dvc.yaml", "[title]", "[nets.small]", "report was run without nets.small of params.yaml"),
    ("dvc.yaml", "    params: [title]\n", "", "report was run with title of params.yaml, which it no longer has"),
    (
        "dvc.yaml",
        "{cache: false}",
        "{cache: false}, results/page.html",
        "report was run without results/page.html among",
    ),
    (
        "dvc.yaml",
        "outs: [results/report.txt",
        "outs: [results/page.html",
        "report was run without results/page.html among",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), CHANGES)
def test_the_first_stage_that_does_not_fit_is_named(
    repository: Path, file: str, old: str, new: str, message: str
) -> None:
    replace(repository / file, old, new)
    assert refusal(repository).startswith(f"stage {message}")


def test_a_new_stage_is_named(repository: Path) -> None:
    replace(repository / "params.yaml", "large: {layers: 9}", "large: {layers: 9}, huge: {layers: 99}")
    assert refusal(repository) == "it has no stage train@huge"


def test_the_cause_is_named_before_what_follows_from_it(repository: Path) -> None:
    replace(repository / "code/report.py", "report", "page")
    replace(repository / "params.yaml", "layers: 9", "layers: 8")
    assert refusal(repository) == "stage train@large was run with another nets.large of params.yaml"


def test_missing_code_is_named(repository: Path) -> None:
    (repository / "code/report.py").unlink()
    assert refusal(repository) == "stage report was run with another code/report.py"


def test_a_stage_that_is_gone_is_named(repository: Path) -> None:
    replace(repository / "params.yaml", ", large: {layers: 9}", "")
    replace(repository / "dvc.yaml", ", results/large.txt]", "]")
    replace(repository / "dvc.yaml", " results/large.txt >", " >")
    lock = yaml.safe_load((repository / "dvc.lock").read_text())
    report = lock["stages"]["report"]
    report["deps"] = [dep for dep in report["deps"] if dep["path"] != "results/large.txt"]
    report["cmd"] = report["cmd"].replace(" results/large.txt >", " >")
    (repository / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert refusal(repository) == ("dvc.yaml has no stage train@large; take its entry out of dvc.lock and commit that")


def test_a_lock_of_two_runs_does_not_fit(repository: Path) -> None:
    lock = yaml.safe_load((repository / "dvc.lock").read_text())
    lock["stages"]["train@small"]["outs"][0]["md5"] = "0" * 32
    (repository / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert refusal(repository) == "stage report was run with another results/small.txt than stage train@small made"


def test_a_lock_with_conflicts_of_a_merge_is_refused(repository: Path) -> None:
    replace(repository / "dvc.lock", "stages:\n", "<<<<<<< HEAD\nstages:\n")
    assert refusal(repository) == "dvc.lock is damaged; take it from git again (git checkout dvc.lock)"


def test_a_pipeline_that_cannot_be_resolved_is_refused(repository: Path) -> None:
    replace(repository / "params.yaml", "nets:", "networks:")
    assert refusal(repository).startswith("DVC cannot resolve dvc.yaml (")


def test_the_command_prints_one_sentence(repository: Path) -> None:
    shutil.copytree(ROOT / "workflow", repository / "workflow")
    (repository / "dvc.lock").unlink()
    command = [sys.executable, "workflow/lock_check.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: dvc.lock does not fit the code: it has no stage train@small{RUN}\n"


def test_a_lock_that_is_cut_short_is_moved_aside(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = repository / "dvc.lock"
    cut = lock.read_text()[: lock.read_text().rindex("- path") + len("- pa")]
    lock.write_text(cut)
    assert dvc_stages._opened(repository).index.stages
    (aside,) = (repository / ".dvc/tmp").glob("dvc.lock.*")
    assert aside.read_text() == cut
    assert "dvc.lock is cut short, as by a DVC that was killed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("dvc.yaml", "stages:", "stages: ["),
        ("dvc.yaml", "cmd:", "comd:"),
        ("dvc.lock", "stages:\n", "<<<<<<< HEAD\nstages:\n"),
    ],
)
def test_other_faults_leave_the_lock_where_it_is(repository: Path, file: str, old: str, new: str) -> None:
    replace(repository / file, old, new)
    before = (repository / "dvc.lock").read_bytes()
    with pytest.raises(UserError, match=rf"DVC cannot read .*{file}; correct it, or take it from git again"):
        dvc_stages._opened(repository)
    assert (repository / "dvc.lock").read_bytes() == before


def test_only_processes_of_dvc_count_as_running(tmp_path: Path) -> None:
    used = tmp_path / ".dvc/tmp/rwlock"
    used.parent.mkdir(parents=True)
    assert dvc_stages.running(tmp_path) == set()
    for text in ("[]", "{", '{"write": {"x": {"pid": "a"}}}', f'{{"write": {{"x": {{"pid": {os.getpid()}}}}}}}'):
        used.write_text(text)
        assert dvc_stages.running(tmp_path) == set(), text  # this process has the number of an old one
    with subprocess.Popen(["bash", "-c", "exec -a dvc sleep 60"]) as stage:
        time.sleep(0.3)
        used.write_text(f'{{"write": {{}}, "read": {{"x": [{{"pid": {stage.pid}}}]}}}}')
        assert dvc_stages.running(tmp_path) == {stage.pid}
        stage.kill()


@pytest.mark.parametrize("content", [b"", b'{"write": {"x": {"pid": 1', b"\xff\x00"])
def test_a_list_of_running_stages_that_is_cut_short_is_deleted(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    dvc_stages.remove_damaged_list(tmp_path)  # where DVC has never run
    listed = tmp_path / dvc_stages.RUNNING
    listed.parent.mkdir(parents=True)
    listed.write_text("{}")
    dvc_stages.remove_damaged_list(tmp_path)
    assert listed.read_text() == "{}"
    assert not capsys.readouterr().err
    listed.write_bytes(content)
    dvc_stages.remove_damaged_list(tmp_path)
    assert not listed.exists()
    assert "was cut short, as by a DVC that was killed, and is deleted" in capsys.readouterr().err
