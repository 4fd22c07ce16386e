"""The machine and versions recorded with measurements."""

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version

from pipeline_src.benchmarking.machine import describe


def test_describe_returns_the_machine_and_the_versions() -> None:
    machine = describe(3)
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert machine["cores"] == os.cpu_count()
    assert machine["threads"] == 3
    versions = machine["versions"]
    assert isinstance(versions, dict)
    assert versions["torch"] == version("torch")
    assert (datetime.now(UTC) - datetime.fromisoformat(str(machine["measured"]))).total_seconds() < 60
