"""The stage measure on a board that SSH reaches."""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import forked
import pytest
from loopback import Server
from shared import stage_environment
from spaces import PLAIN, latency_spec

from pipeline_src.devices.rows import COLUMNS
from pipeline_src.devices.ssh import Board
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.imaging.images import read_image, write_png
from pipeline_src.models.once_for_all import build
from pipeline_src.searching import latency
from pipeline_src.tables import read_rows

Make = Callable[..., Path]
Stage = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = dict[tuple[str, str], dict[str, Any]]

SHORT = {"threads": 1, "warmup": 1, "runs": 5, "interval": 9.0, "min_seconds": 0.0, "max_seconds": 0.5}
OUT = Path("results/benchmark/devices/board")


@pytest.fixture
def folder(workspace: Make, server: Server, exported: Path) -> Path:
    """A workspace with the device ``board``, and a system that was exported."""
    folder = workspace({"benchmark": SHORT, "devices": {"board": server.entry()}})
    shutil.copytree(exported, folder / "results/export/abpn_x3")
    return folder


def rows(folder: Path) -> Rows:
    table = read_rows(folder / OUT / "measure.csv", COLUMNS, "")
    return {(row["variant"], row["runtime"]): row for row in table}


def test_every_file_is_measured_and_compared_or_has_a_reason(folder: Path, stage: Stage, server: Server) -> None:
    reference = folder / "results/export/abpn_x3/ptq_x3_reference.png"
    write_png(reference, read_image(reference)[::-1])  # of these files the board computes another image
    done = stage(folder, "measure", "board")
    assert done.returncode == 0, done.stderr
    table = rows(folder)
    for variant, disagrees in (("fp32", ""), ("ptq", "gives another image there than at export: up to ")):
        row = table[variant, "tflite"]
        assert row["file"] == f"{variant}_x3_24x40.tflite"
        assert row["sha256"] == sha256(folder / "results/export/abpn_x3" / row["file"])
        assert row["p50_low_ms"] <= row["p50_ms"] <= row["p50_high_ms"]
        assert 0 < row["infer_p50_ms"] <= row["p50_ms"]
        assert row["runs"] >= 5
        assert row["peak_memory_mb"] > 0
        assert (row["compared"], row["fails"]) == (True, "")
        assert row["disagrees"].startswith(disagrees)
        assert bool(disagrees) == (row["off_levels"] > 3)
        assert table[variant, "onnx"]["fails"] == "onnxruntime is not installed there"
        assert table[variant, "openvino"]["fails"] == "openvino is not installed there"
    said = ("fp32 onnx 3 on board: onnxruntime is not installed there", f"ptq tflite 3 on board: {row['disagrees']}")
    assert {f"warning: small {sentence}" for sentence in said} <= {*done.stderr.splitlines()}
    machine = json.loads((folder / OUT / "machine.json").read_text())
    assert {*machine["versions"]} == {"numpy", "ai-edge-litert"}
    assert machine["threads"] == 1
    assert server.left() == []
    assert not (folder / ".cache/devices/board/measure").exists()


def test_a_stage_that_is_killed_or_loses_its_connection_goes_on_at_the_next_file(folder: Path, server: Server) -> None:
    exported = folder / "results/export/abpn_x3"
    nets = ("small", "small/half", "small/third")  # which take turns one after the other
    for net in nets[1:]:
        shutil.copytree(exported, further := exported / net.rpartition("/")[2], ignore=lambda *_: ["half"])
        for card in further.glob("*.json"):
            card.write_text(card.read_text().replace('"small"', f'"{net}"'))

    def started() -> forked.Command:
        return forked.start(folder, "pipeline_src.stages.measure", "board", environment=stage_environment())

    def timed() -> set[float]:
        kept = (folder / ".cache/devices/board/measure").glob("*.json")
        return {measured["total"]["p50_ms"] for file in kept if (measured := json.loads(file.read_text()))["total"]}

    killed = started()
    wait_until(lambda: len(timed()) == 2)
    killed.kill()
    wait_until(lambda: server.left() == [])
    first, command = timed(), started()
    wait_until(lambda: len(timed()) == 4)
    server.drop()
    done = command.completed()
    assert done.returncode == 0, done.stderr
    assert "warning: device board: board cannot be reached (" in done.stderr
    assert "; retry 1 of 3" in done.stderr
    table = read_rows(folder / OUT / "measure.csv", COLUMNS, "")
    times = {net: {row["p50_ms"] for row in table if row["system"] == net} for net in nets}
    assert times["small"] == {*first, None}  # None where a runtime is missing
    assert [len(times[net]) for net in nets] == [3, 3, 3]
    assert server.left() == []


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it takes too long")


def test_the_latency_table_of_a_search_is_measured_on_a_board(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    supernet: Any = build([2], **PLAIN)
    sampled = {"smallest": tuple(supernet.blocks(supernet.sample_subnet(random.Random(0), 2)))}
    blocks, board = supernet.all_blocks(), Board("board", server.device)
    table, checks = latency.measure(blocks, sampled, latency_spec(), tmp_path, board)
    assert len(table) == len(blocks)
    assert (table["p50_ms"] > 0).all()
    assert {*table["versions"]} == {f"numpy {version('numpy')} ai-edge-litert {version('ai-edge-litert')}"}
    assert [*checks["subnet"]] == ["smallest"]
    assert server.left() == []
    with pytest.raises(UserError, match="device board: openvino is not installed there; install it there, or choose"):
        latency.measure(blocks, sampled, latency_spec(runtimes=["openvino"]), tmp_path, board)


def test_this_machine_has_an_empty_table(workspace: Make, stage: Stage) -> None:
    folder = workspace({"devices": {"here": {}}})
    done = stage(folder, "measure", "here")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: here is this machine, which the stage benchmark measures")
    assert read_rows(folder / "results/benchmark/devices/here/measure.csv", COLUMNS, "") == []
