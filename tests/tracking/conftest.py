"""A working folder whose MLflow store is empty."""

import shutil
from pathlib import Path

import pytest
from runs import runs_in
from shared import ROOT


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store without an experiment of ours; MLflow takes a second to make its tables."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    runs_in(f"sqlite:///{file}")
    return file


@pytest.fixture
def folder(folder_without_store: Path, empty_store: Path) -> Path:
    """A working folder outside git with a params.yaml and an empty store, in an environment without settings for it."""
    shutil.copy(empty_store, folder_without_store)
    return folder_without_store


@pytest.fixture
def folder_without_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside git with a params.yaml, in an environment without settings for tracking."""
    for name in ("MLFLOW_TRACKING_URI", "SR_TRACKING", "SR_LAUNCHER", "DVC_STAGE", "RANK"):
        monkeypatch.setenv(name, "")  # so that it is restored even if the test, like MLflow, sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    return tmp_path
