"""Two phones, for which an adb stands in, in a run of the whole pipeline."""

import os
import re
import sys
from pathlib import Path

import forwarding
import pytest
from copies import Copy, copied_again

from pipeline_src.tables import read_rows

pytestmark = pytest.mark.slow
STAND_INS = Path(__file__).parents[1] / "devices"  # adb and benchmark_model


def test_two_devices_are_measured_at_once_and_reported(first_run: Copy, tmp_path: Path) -> None:
    copy = copied_again(first_run, tmp_path / "copy")
    phone = tmp_path / "phone"
    (phone / "tmp").mkdir(parents=True)
    (phone / "attached").write_text("A B")
    params = copy.folder / "params.yaml"
    tool = f"benchmark_model: {STAND_INS}/benchmark_model"
    one, two = f"{{adb: A, {tool}, delegates: {{cpu: {{}}, gpu: {{}}}}}}", f"{{adb: B, {tool}}}"
    devices = f"devices: {{here: {{}}, one: {one}, two: {two}}}"
    params.write_text(re.sub(r"(?m)^devices: .*", devices, params.read_text()))
    path = os.pathsep.join(
        [str(STAND_INS), str(forwarding.folder()), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    environment = {
        "PATH": path,
        "PHONE": str(phone),
        "TRANSCRIPTS": str(STAND_INS / "transcripts"),
        "SR_TRACKING": "off",
    }

    log = copy.ran("snakemake", "--cores", "2", "report", **environment)
    events = re.findall(r"Job \d+: measure@(one|two)\n|Finished jobid: \d+ \(Rule: measure@(one|two)\)", log)
    assert {begun for begun, _ in events[:2]} == {"one", "two"}, log  # neither has ended when the other begins
    table = read_rows(
        copy.folder / "results/report/table.csv", {"device": str, "runtime": str, "p50_ms": float | None}, ""
    )
    assert {row["runtime"] for row in table if row["device"] == "one"} == {"tflite", "tflite_gpu"}
    assert {row["device"] for row in table} == {"here", "one", "two"}
    assert {row["p50_ms"] for row in table if row["device"] == "two"} == {899.281}
