"""The machine that a net was measured on, and whether it is one like this."""

import json
from pathlib import Path

import pytest
from library_nets import save

from pipeline_src import paths
from pipeline_src.benchmarking import machine
from pipeline_src.errors import UserError
from pipeline_src.files import write_json
from pipeline_src.library import listing, machines, run


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A net of a run that was measured on this machine."""
    monkeypatch.chdir(tmp_path)
    save(paths.weights("net"), [3])
    write_json(paths.results("benchmark", "net") / paths.MACHINE, machine.describe(2))
    return "net"


def change(net: str, **facts: object) -> None:
    file = paths.results("benchmark", net) / paths.MACHINE
    write_json(file, json.loads(file.read_bytes()) | facts)


def test_results_of_this_machine_are_named_without_more(net: str) -> None:
    assert machines.read(net).is_like_this_one
    listed = listing.table(run.entries())
    assert f"p50 of net: on {machines.read(net)}" in listed.splitlines()


@pytest.mark.parametrize("facts", [{"cpu": "Another CPU"}, {"cpu_features": "avx2 avx_vnni_int9"}, {"cores": 1000}])
def test_results_of_another_cpu_are_called_so(net: str, facts: dict[str, object]) -> None:
    change(net, **facts)
    said = f"{machines.read(net)}, {machines.not_this_one([net])}"
    assert not machines.read(net).is_like_this_one
    assert f"p50 of net: on {said}" in listing.table(run.entries()).splitlines()
    assert f"measured on {said}" in listing.description(run.entries()[0]).splitlines()
    assert said.endswith("dvc repro --force --single-item benchmark@net")


def test_a_machine_that_was_not_recorded_is_left_out(net: str) -> None:
    (paths.results("benchmark", net) / paths.MACHINE).unlink()
    assert "p50 of" not in listing.table(run.entries())
    with pytest.raises(UserError, match=r"machine\.json does not exist; run"):
        machines.read(net)
