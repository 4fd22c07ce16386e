"""The verdict of the report."""

from pathlib import Path

import pandas as pd
import pytest
from made_results import MANY, MANY_SETS, MEASURED, SETS, SYSTEMS, change, faster_than, pick, with_cells

from pipeline_src.reporting import tables
from pipeline_src.reporting.section import Finding
from pipeline_src.reporting.sections import verdict
from pipeline_src.stages.report import report


def test_a_file_that_gives_another_image_here_says_so_and_is_no_alternative(repository: Path) -> None:
    table = with_cells("ptq", "openvino", disagrees="gives another image here than at export: up to 55 levels off")
    assert faster_than(table, "ptq", "tflite") == ""
    sentence = "abpn_x3 int8 PTQ OpenVINO ×3 gives another image here than at export: up to 55 levels off"
    assert tables.disagreeing(table) == [sentence]
    assert verdict.agreement(table) == [Finding(False, f"{sentence}.")]
    assert "for 1 of 2 nets (small_x3)" in verdict.fastest(table)[0].text
    report()
    page = Path("results/report/index.html").read_text()
    assert sentence in page
    assert "No: 1 of 24 files give another image than at export." in page


def test_the_verdict_says_that_all_files_agree_and_which_is_fastest_here(table: pd.DataFrame) -> None:
    assert verdict.agreement(table) == [
        Finding(True, "All 24 files give the same image as at export, within 2 of 255 levels.")
    ]
    assert verdict.fastest(table) == [
        Finding(True, "The fastest file is int8 in OpenVINO for 2 of 2 nets (abpn_x3 and small_x3).")
    ]


def test_latency_can_be_compared_across_sizes(repository: Path) -> None:
    def timed_small(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(lr_height=rows["lr_height"] / 2, lr_width=rows["lr_width"] / 4)

    change("small_x3", timed_small)
    table = tables.read(MEASURED, SYSTEMS, list(SETS))
    large, small = (pick(table, system=s, variant="fp32", runtime="tflite", set="Set5") for s in SYSTEMS)
    assert (large["lr_size"], small["lr_size"]) == ("640×360", "160×180")
    assert large["ms_per_mp"] == pytest.approx(78.2 / (640 * 360 * 9 / 1e6))
    assert small["ms_per_mp"] == pytest.approx(0.4 * 78.2 / (160 * 180 * 9 / 1e6))
    assert verdict.timed(table) == (
        "Medians (p50) on 640×360 LR pixels with 2 threads (abpn_x3) and 160×180 LR pixels with 2 threads (small_x3)."
    )


def test_the_verdict_says_who_beats_bicubic_and_who_does_not(table: pd.DataFrame) -> None:
    findings = {finding.text: finding.good for finding in verdict.quality(table[table["set"] == "Set5"])}
    assert findings == {
        "abpn_x3 ×3 on Set5 beats bicubic (30.40 dB) by 0.95 dB as fp32, by 0.71 dB as int8 PTQ and by 0.89 dB "
        "as int8 QAT.": True,
        "small_x3 ×3 on Set5 beats bicubic (30.40 dB) by 0.31 dB as fp32.": True,
        "small_x3 ×3 on Set5 does not beat bicubic (30.40 dB): it is 0.12 dB behind as int8 PTQ and level with it "
        "as int8 QAT.": False,
    }


def test_the_verdict_has_one_sentence_for_all_sets_of_a_system(repository: Path) -> None:
    def better_on_set5(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "ptq") & (rows["set"] == "Set5"), "psnr_y"] += 0.5
        return rows

    change("small_x3", better_on_set5)
    findings = {finding.text: finding.good for finding in verdict.quality(tables.read(MEASURED, SYSTEMS, list(SETS)))}
    assert findings == {
        "abpn_x3 ×3 on both sets beats bicubic by 0.95 dB as fp32, by 0.71 dB as int8 PTQ and by 0.89 dB as int8 "
        "QAT.": True,
        "small_x3 ×3 on both sets beats bicubic by 0.31 dB as fp32 and by 0.38 dB as int8 PTQ in 1 of 2 cases.": True,
        "small_x3 ×3 on both sets does not beat bicubic: it is up to 0.12 dB behind (×3, samples_heldout) as int8 PTQ "
        "in 1 of 2 cases and level with it as int8 QAT.": False,
    }


def test_a_speed_up_is_claimed_only_where_the_intervals_are_apart(repository: Path) -> None:
    def spread(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "qat") & (rows["runtime"] == "tflite"), "p50_high_ms"] = 77.1  # fp32 from 77.0 on
        return rows

    change("abpn_x3", spread)
    table = tables.read(MEASURED, SYSTEMS, list(SETS))
    alone = verdict.speed(table[table["system"] != "small_x3"])
    assert [(finding.good, finding.text) for finding in alone] == [
        (True, "In TFLite, int8 PTQ is faster than fp32: 3.12 times (abpn_x3, 25.1 instead of 78.2 ms)."),
        (
            False,
            "In TFLite, int8 QAT is not faster than fp32: the confidence intervals overlap (abpn_x3).",
        ),
        (True, "In OpenVINO, int8 PTQ is faster than fp32: 2.43 times (abpn_x3, 24.0 instead of 58.4 ms)."),
        (True, "In OpenVINO, int8 QAT is faster than fp32: 1.88 times (abpn_x3, 31.0 instead of 58.4 ms)."),
        (
            False,
            "In ONNX, int8 PTQ is not faster than fp32: the confidence intervals overlap (abpn_x3).",
        ),
        (
            False,
            "In ONNX, int8 QAT is not faster than fp32: it takes 1.18 times as long (abpn_x3, 72.0 instead of 61.0 "
            "ms).",
        ),
    ]
    both = verdict.speed(table)
    assert [(finding.good, finding.text) for finding in both if "TFLite" in finding.text and "QAT" in finding.text] == [
        (
            True,
            "In TFLite, int8 QAT is faster than fp32 for 1 of 2 nets: 3.14 times (small_x3, 10.0 instead of 31.3 ms).",
        ),
        (
            False,
            "In TFLite, int8 QAT is not faster than fp32 for 1 of 2 nets: the confidence intervals overlap (abpn_x3).",
        ),
    ]


def test_latencies_that_have_not_settled_take_part_in_no_verdict_and_the_page_names_them(repository: Path) -> None:
    table = with_cells("ptq", "openvino", settled=False, runs=3, p50_low_ms=None, p50_high_ms=None)
    abpn = table[table["system"] != "small_x3"]
    assert not [finding for finding in verdict.speed(abpn) if "OpenVINO, int8 PTQ" in finding.text]
    assert verdict.fastest(abpn) == [Finding(True, "The fastest file is int8 in TFLite for 1 of 1 nets (abpn_x3).")]
    said = (
        " 1 of 18 files take part in no comparison, because their latency has not settled (abpn_x3 int8 PTQ OpenVINO): "
        "it rests on fewer than 30 calls, or its interval was still too wide at the limit of time."
    )
    assert verdict.left_out(table) == said
    report()
    page = Path("results/report/index.html").read_text()
    assert said in page
    assert "24.0 (3 runs)" in page


def test_nothing_is_said_of_unsettled_latencies_where_there_are_none(table: pd.DataFrame) -> None:
    assert verdict.left_out(table) == ""


def test_files_whose_intervals_overlap_share_the_first_place(repository: Path) -> None:
    table = with_cells("qat", "tflite", p50_low_ms=24.3)  # OpenVINO's PTQ up to 24.36
    assert verdict.fastest(table) == [
        Finding(
            True,
            "The fastest file is int8 in OpenVINO or int8 in TFLite for 1 of 2 nets (abpn_x3) and int8 in OpenVINO for "
            "1 of 2 nets (small_x3).",
        )
    ]


def test_of_many_nets_the_verdict_names_the_extremes(full_house: Path) -> None:
    table = tables.read(full_house / "results/benchmark", list(MANY), list(MANY_SETS))
    findings = {finding.text: finding.good for finding in verdict.speed(table)}
    assert findings["In TFLite, int8 PTQ is faster than fp32 for 21 of 21 nets: 2.00 (abpn_x3) to 3.20 times "
                "(edsr_baseline_x4)."]  # fmt: skip
    assert len(findings) == 6
    quality = verdict.quality(table)
    assert len(quality) == len(MANY) + 1
    assert [finding.text for finding in quality if not finding.good] == [
        "ecdn_m ×2, ×3 and ×4 on both sets does not beat bicubic: it is up to 0.20 dB behind (×3, samples_heldout) as "
        "int8 PTQ in 2 of 6 cases."
    ]


def test_without_timings_nothing_is_claimed(repository: Path) -> None:
    for system in SYSTEMS:
        change(system, lambda rows: rows.assign(p50_ms=float("nan"), settled=False))
    table = tables.read(MEASURED, SYSTEMS, list(SETS))
    assert verdict.speed(table) == []
    assert verdict.timed(table) == "Nothing was timed."
    assert set(tables.headline(table)["runtime"]) == {"", "tflite"}
