"""The layers that lose most in int8, as the report shows them."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline_src.errors import UserError
from pipeline_src.reporting import sensitivity, tables
from pipeline_src.stages.report import report


def test_the_worst_of_each_system_and_scale_come_first(repository: Path) -> None:
    path = Path("results/quantize/abpn_x3/sensitivity.csv")
    two = [pd.read_csv(path).assign(scale=scale, lost_db=lambda rows: -rows["lost_db"]) for scale in (4, 2)]
    pd.concat(two).to_csv("results/quantize/small_x3/sensitivity.csv", index=False)
    worst = sensitivity.worst(Path("results/quantize"), ["abpn_x3", "small_x3"])
    assert [tables.line(row, sensitivity.COLUMNS) for _, row in worst.iterrows()] == [
        ["abpn_x3", "×3", "body.8", "0.035"],
        ["abpn_x3", "×3", "body.6", "0.025"],
        ["abpn_x3", "×3", "body.4", "0.015"],
        ["small_x3", "×2", "body.0", "0.005"],
        ["small_x3", "×2", "body.2", "−0.005"],
        ["small_x3", "×2", "body.4", "−0.015"],
        ["small_x3", "×4", "body.0", "0.005"],
        ["small_x3", "×4", "body.2", "−0.005"],
        ["small_x3", "×4", "body.4", "−0.015"],
    ]


def test_they_are_a_table_on_the_page_unless_none_was_tried(repository: Path) -> None:
    summary = "<summary>The layers that lose most</summary>"
    report()
    page = Path("results/report/index.html").read_text()
    assert summary in page
    assert "<td>body.8</td>" in page
    for path in Path("results/quantize").glob("*/sensitivity.csv"):
        path.write_text("scale,layer,lost_db\n")
    report()
    assert summary not in Path("results/report/index.html").read_text()


def test_it_says_what_to_run_where_the_table_is_missing(repository: Path) -> None:
    Path("results/quantize/abpn_x3/sensitivity.csv").unlink()
    with pytest.raises(UserError, match=r"sensitivity\.csv does not exist; run `python -m pipeline_src\.stages\.quant"):
        report()
