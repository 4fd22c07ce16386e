"""What single operators cost, as the report shows it."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.reporting import nodes, tables, threads
from pipeline_src.reporting.figures import DARK, LIGHT
from pipeline_src.stages.report import report


def test_a_row_per_operator_in_the_order_they_were_measured(repository: Path) -> None:
    table = nodes.read(Path("results/nodes/nodes.csv"))
    assert list(table["node"]) == ["3×3 convolution", "ReLU", "bilinear resize ×3"]
    assert [tables.line(row, nodes.COLUMNS) for _, row in table.iterrows()] == [
        ["3×3 convolution", "20.50", "6.25", "14.35", "4.38"],
        ["ReLU", "10.25", "3.12", "7.17", "2.19"],
        ["bilinear resize ×3", "6.83", "2.08", "4.78", "–"],
    ]
    assert "OpenVINO int8 (ms) ReLU 2.2, 3×3 convolution 4.4." in nodes.in_words(table)


def test_the_bars_in_both_themes(repository: Path) -> None:
    table = nodes.read(Path("results/nodes/nodes.csv"))
    for theme in (LIGHT, DARK):
        with Image.open(nodes.draw(table, Path(f"{theme.name}.png"), theme)) as image:
            assert image.size[0] > 1000
            assert len(set(image.convert("RGB").resize((99, 99)).getdata())) > 20


def test_it_says_what_to_run_where_nothing_was_measured(repository: Path) -> None:
    Path("results/nodes/nodes.csv").unlink()
    with pytest.raises(UserError, match=r"nodes\.csv does not exist; run `python -m pipeline_src\.stages\.nodes`"):
        report()


def test_a_file_that_cannot_be_run_is_a_line_on_the_page_and_no_row_of_the_table(repository: Path) -> None:
    path = Path("results/benchmark/abpn_x3/benchmark.csv")
    rows = pd.read_csv(path).assign(fails="")
    gone = (rows["variant"] == "ptq") & (rows["runtime"] == "openvino")
    failing = rows[gone].assign(psnr_y=None, p50_ms=None, fails="OpenVINO crashes on it (signal 11)")
    pd.concat([rows[~gone], failing]).to_csv(path, index=False)
    report()
    table = pd.read_csv("results/report/table.csv")
    assert not ((table["system"] == "abpn_x3") & (table["variant"] == "ptq") & (table["runtime"] == "openvino")).any()
    page = Path("results/report/index.html").read_text()
    assert "<li>abpn_x3 int8 PTQ OpenVINO ×3: OpenVINO crashes on it (signal 11)</li>" in page


def test_a_sweep_of_threads_is_a_table_on_the_page(repository: Path) -> None:
    rows = [
        {"system": "abpn_x3", "variant": variant, "runtime": "tflite", "scale": 3, "threads": n, "p50_ms": ms / n**0.5}
        for variant, ms in (("fp32", 80.0), ("qat", 20.0))
        for n in (1, 4)
    ]
    assert threads.read(Path("results/benchmark"), ["abpn_x3"]).empty
    pd.DataFrame(rows).to_csv("results/benchmark/abpn_x3/threads.csv", index=False)
    pd.DataFrame(columns=list(rows[0])).to_csv("results/benchmark/small_x3/threads.csv", index=False)
    table = threads.read(Path("results/benchmark"), ["abpn_x3", "small_x3"])
    assert [tables.line(row, threads.columns(table)) for _, row in table.iterrows()] == [
        ["abpn_x3", "fp32", "TFLite", "×3", "80.0", "40.0", "2.00"],
        ["abpn_x3", "int8 QAT", "TFLite", "×3", "20.0", "10.0", "2.00"],
    ]
    report()
    page = Path("results/report/index.html").read_text()
    assert "p50, 4 threads (ms)" in page
