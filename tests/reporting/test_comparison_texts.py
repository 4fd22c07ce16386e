"""What a comparison says on a terminal, in Markdown and in CSV."""

import re
from pathlib import Path

import pytest
from made_states import compared, image_rows, write_state

from pipeline_src.reporting.comparison import texts

OF_LOSS, OF_GAIN = "-0.050 to -0.050, 5 images", "+0.100 to +0.100, 5 images"
OF_TIMES = "9.80 to 10.20, then 10.80 to 11.20"
SLOWER = {"p50_ms": 11.1, "p50_low_ms": 10.8, "p50_high_ms": 11.2, "file_bytes": 25_600}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_state(tmp_path / "base")


def test_the_text_has_a_summary_and_a_line_per_figure(base: Path, tmp_path: Path) -> None:
    new = write_state(tmp_path / "new", images=image_rows(qat=-0.05, fp32=0.1), **SLOWER)
    write_state(new, "extra")
    summary, table, remarks = (part.splitlines() for part in texts.text(compared(base, new)).split("\n\n"))
    assert summary == [
        f"base: {base}, measured 2026-01-02 03:04 UTC, on A",
        f"new: {new}, measured 2026-01-02 03:04 UTC, on A",
        "3 files compared: 1 worse, 3 better in some figure, 0 without a change beyond noise",
    ]
    assert [re.split(" {2,}", line) for line in table] == [
        ["", "Net", "File", "Figure", "Base", "New", "Difference", "95 % interval"],
        ["worse", "abpn_x3 ×3", "qat tflite", "PSNR Y (dB) Set5", "33.900", "33.850", "-0.050", OF_LOSS],
        ["worse", "abpn_x3 ×3", "qat tflite", "p50 (ms)", "10.00", "11.10", "+11.0 %", OF_TIMES],
        ["better", "abpn_x3 ×3", "fp32 onnx, tflite", "PSNR Y (dB) Set5", "34.000", "34.100", "+0.100", OF_GAIN],
        ["better", "abpn_x3 ×3", "qat tflite", "file (KiB)", "50.0", "25.0", "-50.0 %"],
    ]
    assert len({line.index(cell) for line, cell in zip(table, ("Base", "33", "10", "34", "50"), strict=True)}) == 1
    assert remarks == [
        "not comparable: quality on one of abpn_x3 ×3 fp32 onnx, abpn_x3 ×3 fp32 tflite, abpn_x3 ×3 qat tflite (a "
        "single image has no confidence interval)",
        "only in new: extra ×3 fp32 onnx, extra ×3 fp32 tflite, extra ×3 qat tflite",
    ]


def test_two_equal_states_are_three_lines(base: Path) -> None:
    lines = texts.text(compared(base, base)).splitlines()
    assert lines[2:] == ["3 files compared: 0 worse, 0 better in some figure, 3 without a change beyond noise"]


def test_many_files_with_one_reason_are_counted(base: Path, tmp_path: Path) -> None:
    elsewhere = write_state(tmp_path / "elsewhere", machine={"cpu": "B"})
    for net in ("b", "c", "d", "e", "f"):
        write_state(base, net)
        write_state(elsewhere, net, machine={"cpu": "B"})
    assert texts.text(compared(base, elsewhere)).splitlines()[-2:] == [
        f"not comparable: {kind} of 18 files of abpn_x3 ×3, b ×3, c ×3 and 3 more nets (CPU A in base, B in new)"
        for kind in ("latency", "peak memory")
    ]


def test_text_of_files_is_no_markup_and_no_control(base: Path, tmp_path: Path) -> None:
    evil = "a|b`<img src=x>*_[x](http://e.example)@who $x$ www.e.example\\\x1b[31m"
    comparison = compared(base, write_state(tmp_path / "new", disagrees=evil))
    assert "\x1b" not in texts.text(comparison) + texts.markdown(comparison)
    head, rule, row = [line for line in texts.markdown(comparison).splitlines() if line.startswith("|")]
    assert row.startswith("| worse | abpn\\_x3 ×3 | qat tflite | image as at export | yes | no |  | a\\|b\\`\\<img")
    assert "\\[x\\](http\\://e.example)\\@who \\$x\\$ www\\.e.example" in row
    cells = [line.replace("\\|", "").count("|") for line in (head, rule, row)]
    assert cells == [9, 9, 9]


def test_the_table_has_every_figure(base: Path, tmp_path: Path) -> None:
    table = texts.table(compared(base, write_state(tmp_path / "new", **SLOWER)))
    assert len(table) == 3 * (2 * 2 + 3)  # files; PSNR and SSIM on two sets, latency, memory and size
    row = table.query("figure == 'p50_ms' and variant == 'qat'").iloc[0]
    assert (row["verdict"], row["base"], row["new"], row["new_low"]) == ("worse", 10.0, 11.1, 10.8)
    assert list(table.columns[:7]) == ["device", "system", "variant", "runtime", "scale", "figure", "verdict"]
