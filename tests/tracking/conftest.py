"""A working folder whose MLflow store is empty."""

from pathlib import Path

import pytest
from shared import ROOT


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
