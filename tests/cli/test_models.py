"""The command ``superres models``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.cli.main import main


def models(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as end:
        main(["models", *arguments])
    streams = capsys.readouterr()
    assert end.value.code == status
    return streams.err if status else streams.out


def test_bundled_nets_and_those_of_the_run_are_listed(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = models(capsys)
    bundled, of_run = out.split("\n\nmade by the run in this folder")
    assert bundled.startswith("bundled with superres:\n")
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in bundled.splitlines()[2:] if " ×" in line}
    assert rows["good", "×3"][:4] == ["fp32", "30.00", "+1.00", "samples_heldout"]
    assert rows["new", "×3"][:4] == ["fp32", "–", "–", "–"]
    assert {("super", "×2"), ("super", "×4")} <= {*rows}
    assert "\nwithout --model: super (×2), good (×3), super (×4)\n" in bundled
    assert "licence of bad, good, learned, new, super: MIT" in bundled
    assert "for images of `superres downscale --model NAME` alone: learned" in bundled
    (row,) = (line for line in of_run.splitlines() if line.startswith("good "))
    assert row.split()[1:6] == ["×3", "fp32", "29.50", "-0.50", "Set5"]
    assert row.split()[-4:] == ["40.2", "ms", "(onnx)", "640×360"]


def test_one_net_is_described(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = dict(line.split(maxsplit=1) for line in models(capsys, "good").splitlines()[:10])
    assert facts["provenance"] == "trained here"
    assert facts["files"] == "fp32_x3.onnx"
    assert "learned_downscaler.safetensors" in models(capsys, "learned")
    assert models(capsys, "nothing", status=1).startswith("error: there is no net of the name nothing")


def test_a_reader_may_stop_reading() -> None:
    """As in ``superres models | head -1``: the pipe is closed before anything is written to it."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline_src", "models"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_programs_get_json(a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = json.loads(models(capsys, "--json"))
    assert [(record["name"], record["source"]) for record in records][-1] == ("good", "run")
    assert records[-1]["measurements"][0]["p50_ms"] == 40.25
    assert all(Path(record["weights"]).stat().st_size == record["bytes"] for record in records)
