"""The report's section on devices."""

from pathlib import Path

import pytest
from made_results import on_devices, pick

from pipeline_src import config
from pipeline_src.reporting import data
from pipeline_src.reporting.sections import devices, verdict


def test_with_one_device_there_is_no_section(repository: Path) -> None:
    assert devices.build(data.read(config.load(), "")) is None


def test_a_device_is_compared_file_by_file(repository: Path) -> None:
    measured = on_devices(data.read(config.load(), ""), {"here": 1.0, "pi": 4.0})
    table = measured.table
    worse = (table["device"] == "pi") & (table["runtime"] == "onnx") & (table["variant"] == "qat")
    table.loc[worse & (table["system"] == "abpn_x3"), "disagrees"] = "gives another image here"
    table.loc[worse & (table["system"] == "small_x3"), "settled"] = False
    table.loc[worse & (table["system"] == "small_x3"), "off_levels"] = float("nan")
    row = pick(devices.compare(measured), device="pi", runtime="onnx", precision="int8")
    assert (row["files"], row["settled"], row["others"], row["times"]) == (4, 3, 1, pytest.approx(4.0))
    assert row["unknown"] == 1
    section = devices.build(measured)
    assert section
    assert section.lead == "The same files on 2 devices: here, pi."


def test_the_verdict_answers_for_every_device(repository: Path) -> None:
    measured = on_devices(data.read(config.load(), ""), {"here": 1.0, "pi": 4.0})
    (block,) = verdict.build(measured).blocks
    answers = {question.question: [answer.text for answer in question.answers] for question in block.questions}
    assert answers["Which kind of file is fastest?"] == [
        "here: Int8 in OpenVINO, for 2 of 2 networks.", "pi: Int8 in OpenVINO, for 2 of 2 networks."
    ]  # fmt: skip
    assert len(answers["Is it better than no network?"]) == 1
