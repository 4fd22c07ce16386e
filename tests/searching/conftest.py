"""What the tests of the search share."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def cores() -> Iterator[None]:
    """Give this process its cores back after measuring, which pins it, because it has other tests to run."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    yield
    if before:
        os.sched_setaffinity(0, before)
