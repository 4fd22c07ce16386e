"""Stages as jobs that share no file system: nodes that are empty folders, with an S3 server between them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import s3_server
import yaml
from copies import STAGES, Copy, copied, copied_again
from shared import ROOT

from pipeline_src.files import sha256

BEFORE, AFTER = "calibration_images: 2", "calibration_images: 3"
AFFECTED = {"quantize@abpn_x3", "export@abpn_x3", "benchmark@abpn_x3"}
SAME_ANYWHERE = ["fetch@photos", "fetch@judged", "build_h5", "train@abpn_x3"]


@pytest.fixture(scope="module")
def launcher(s3: s3_server.Store, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The repository with a remote, without results."""
    pytest.importorskip("snakemake_storage_plugin_s3", reason="its plugin is not installed: make scaling")
    copy = copied(tmp_path_factory.mktemp("launcher") / "copy")
    copy.ran("dvc", "remote", "add", "--default", "storage", f"s3://{s3_server.BUCKET}/superres")
    copy.ran("dvc", "remote", "modify", "storage", "endpointurl", s3.url)
    copy.commit()
    return copy


def options() -> list[str]:
    """Return the options that the profile for Kubernetes has, less those that are for it alone."""
    profile = yaml.safe_load((ROOT / "workflow/profiles/kubernetes/config.yaml").read_text())
    chosen = ["--config", *profile["config"], "--default-storage-provider", profile["default-storage-provider"]]
    return [*chosen, "--cores", str(profile["cores"]), "--jobs", "2", "--max-threads", "2"]


def snakemake(copy: Copy, store: s3_server.Store, nodes: Path, *arguments: str) -> str:
    """Run Snakemake with nodes in a folder, and return what it prints."""
    nodes.mkdir(exist_ok=True)
    environment = s3_server.KEYS | {
        "PYTHONPATH": str(ROOT / "tests/scaling"),
        "SR_NODES": str(nodes),
        "SR_TRACKING": "off",
        "HOME": str(nodes),
    }
    at_s3 = ["--default-storage-prefix", f"s3://{s3_server.BUCKET}/snakemake", "--storage-s3-endpoint-url", store.url]
    passed = ["--envvars", *s3_server.KEYS, "SR_TRACKING"]
    command = ["python", "-m", "snakemake", "report", "--executor", "nodes", *options(), *at_s3, *passed, *arguments]
    return copy.ran(*command, **environment)


def stages_of(nodes: Path) -> set[str]:
    return {re.sub(r"-[^-]{8}$", "", node.name) for node in nodes.iterdir() if (node / "dvc.yaml").exists()}


@pytest.fixture(scope="module")
def nodes(launcher: Copy, s3: s3_server.Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the nodes after a run."""
    folder = tmp_path_factory.mktemp("nodes") / "nodes"
    snakemake(launcher, s3, folder)
    return folder


def test_every_stage_but_the_report_has_run_on_a_node_of_its_own(launcher: Copy, nodes: Path) -> None:
    assert stages_of(nodes) == {*launcher.lock()} - {"report"}
    (train,) = nodes.glob("train@*-*/")
    assert {path.name for path in (train / "results").iterdir()} == {"build_h5", "nets", "train"}
    assert not (train / ".git").exists()
    assert (train / ".dvc/cache").is_dir()


def test_the_lock_is_complete_and_the_results_are_those_of_any_run(
    launcher: Copy, nodes: Path, first_run: Copy
) -> None:
    assert len(launcher.lock()) == STAGES
    launcher.ran("python", "workflow/lock_check.py")
    for name in SAME_ANYWHERE:
        outs, others = (
            [out for out in copy.lock()[name]["outs"] if not out["path"].endswith("metrics.json")]
            for copy in (launcher, first_run)
        )
        assert outs == others, name


def test_the_launcher_has_the_report_alone_and_the_rest_in_the_remote(
    launcher: Copy, nodes: Path, s3: s3_server.Store, tmp_path: Path
) -> None:
    assert (launcher.folder / "results/report/index.html").is_file()
    assert not (launcher.folder / "results/build_h5").exists()
    assert "Nothing to be done" in snakemake(launcher, s3, tmp_path / "none", "-n")
    said = launcher.ran("dvc", "repro", "--dry", "--allow-missing")
    assert said.count("didn't change, skipping") == STAGES
    other = copied_again(launcher, tmp_path / "other")
    shutil.rmtree(other.folder / ".dvc/cache")
    other.ran("dvc", "pull", **s3_server.KEYS)
    assert other.ran("dvc", "status").strip() == "Data and pipelines are up to date."
    other.assert_nothing_to_do()


def test_a_changed_param_runs_what_depends_on_it(
    launcher: Copy, nodes: Path, s3: s3_server.Store, tmp_path: Path
) -> None:
    launcher.commit()
    changed = copied_again(launcher, tmp_path / "changed")
    params = changed.folder / "params.yaml"
    assert params.read_text().count(BEFORE) == 1
    params.write_text(params.read_text().replace(BEFORE, AFTER))
    page = sha256(changed.folder / "results/report/index.html")
    snakemake(changed, s3, tmp_path / "nodes")
    assert stages_of(tmp_path / "nodes") == AFFECTED
    assert sha256(changed.folder / "results/report/index.html") != page
    changed.ran("python", "workflow/lock_check.py")
    different = {name for name, entry in changed.lock().items() if entry != launcher.lock()[name]}
    assert different == AFFECTED | {"report"}


def refused(copy: Copy, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "report", "-n", "--config", "storage=remote", *arguments]
    done = subprocess.run(command, cwd=copy.folder, env=os.environ | s3_server.KEYS, capture_output=True, text=True)
    assert done.returncode
    return done.stderr


def test_what_another_machine_would_lack_is_told_before_anything_runs(first_run: Copy, tmp_path: Path) -> None:
    copy = copied_again(first_run, tmp_path / "copy")
    assert "error: storage=remote needs a default DVC remote in .dvc/config" in refused(copy)
    copy.ran("dvc", "remote", "add", "--default", "storage", str(tmp_path / "store"))
    (copy.folder / "pipeline_src/models/layers/new.py").write_text("")
    assert "error: git does not know pipeline_src/models/layers/new.py, and only what" in refused(copy)


def test_a_result_that_nobody_has_pushed_is_told(first_run: Copy, tmp_path: Path) -> None:
    copy = copied_again(first_run, tmp_path / "copy")
    copy.ran("dvc", "remote", "add", "--default", "storage", str(tmp_path / "store"))
    shutil.rmtree(copy.folder / ".dvc/cache")
    shutil.rmtree(copy.folder / "results/export")
    command = [
        "python",
        "workflow/remote_storage.py",
        "benchmark@abpn_x3",
        "entry.yaml",
        "--pull",
        "results/export/abpn_x3",
    ]
    with pytest.raises(AssertionError) as error:
        copy.ran(*command, PYTHONPATH=".")
    sentence = str(error.value).splitlines()[-1]
    assert sentence.startswith("error: benchmark@abpn_x3 cannot get what it reads from the DVC remote (")
    assert sentence.endswith("docs/scaling.md says what to do, under “When a remote does not answer”")
