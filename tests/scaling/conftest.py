"""Tests that start servers on loopback and take minutes: `make scaling-test` runs them, `make test` does not."""

import os

import pytest
from copies import first_run

__all__ = ["first_run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("SR_SCALING"):
        return
    for item in items:
        if "tests/scaling/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="starts servers and takes minutes: make scaling-test"))
