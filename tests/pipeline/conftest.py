"""One run of the pipeline for the tests of several files, whatever worker runs them."""

import pytest
from copies import Copy, copied
from filelock import FileLock


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Copy:
    """A copy of the repository with tiny params after ``dvc repro``; what a test changes it copies first."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "first_run"
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            copied(folder).ran("dvc", "repro", SR_TRACKING="off")
            done.touch()
    return Copy(folder)
