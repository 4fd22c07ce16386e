"""The report's section on the origin of the numbers."""

import json
from pathlib import Path

import pytest

from pipeline_src.errors import UserError
from pipeline_src.reporting.sections.provenance import read_machines


def test_different_machines_are_told_apart(repository: Path) -> None:
    path = Path("results/benchmark/small_x3/machine.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu": "another"}))
    machines = read_machines(Path("results/benchmark"), ["abpn_x3", "small_x3"])
    assert [list(machine.measured) for machine in machines] == [["abpn_x3"], ["small_x3"]]
    assert machines[1].facts["CPU"] == "another"
    path.unlink()
    with pytest.raises(UserError, match=r"small_x3/machine\.json does not exist; run"):
        read_machines(Path("results/benchmark"), ["abpn_x3", "small_x3"])
    path.write_text('{"cpu": ["one", "two"]}')
    with pytest.raises(
        UserError, match=r"small_x3/machine\.json is damaged: cpu\..*; run `python -m .*benchmark small"
    ):
        read_machines(Path("results/benchmark"), ["abpn_x3", "small_x3"])
