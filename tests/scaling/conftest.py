"""Tests that start servers on loopback and take minutes: `make scaling-test` runs them, `make test` does not."""

import os
from collections.abc import Iterator

import pytest
import s3_server
from copies import first_run

__all__ = ["first_run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("SR_SCALING"):
        return
    for item in items:
        if "tests/scaling/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="starts servers and takes minutes: make scaling-test"))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Store]:
    """An object store on loopback."""
    for package in ("moto.server", "dvc_s3"):
        pytest.importorskip(package, reason=f"{package} is not installed: make scaling")
    with s3_server.started(tmp_path_factory.mktemp("s3") / "log") as store:
        yield store
