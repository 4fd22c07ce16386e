"""The report's section on the way from fp32 to int8."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline_src.errors import UserError
from pipeline_src.reporting import tables
from pipeline_src.reporting.drawing import LIGHT
from pipeline_src.reporting.sections import waterfall
from pipeline_src.stages.report import report


def test_waterfall_of_several_systems_tells_gain_and_changes(crowd: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rows = tables.deployed(crowd[(crowd["scale"] == 3) & crowd["system"].isin(["carn", "ecdn_m"])])
    waterfall.draw_panel(axes, rows, LIGHT)
    assert [text.get_text() for text in axes.texts] == ["+1.72", "−0.13", "+0.08", "+1.55", "−1.75", "+1.70"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["carn", "ecdn_m"]


def test_waterfall_steps_lead_from_variant_to_variant(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    files = tables.deployed(table)
    waterfall.draw_panel(axes, files[(files["system"] == "small_x3") & (files["set"] == "Set5")], LIGHT)
    solid = [bar for bar in axes.patches if bar.get_alpha() is None]
    ends = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in solid]
    assert np.allclose(ends, [(0, 0.31), (0.31, -0.12), (-0.12, 0)])
    assert [text.get_text() for text in axes.texts] == ["+0.31 dB", "−0.12 dB\n(−0.43)", "+0.00 dB\n(+0.12)"]


def test_the_worst_of_each_system_and_scale_come_first(repository: Path) -> None:
    path = Path("results/quantize/abpn_x3/sensitivity.csv")
    two = [pd.read_csv(path).assign(scale=scale, lost_db=lambda rows: -rows["lost_db"]) for scale in (4, 2)]
    pd.concat(two).to_csv("results/quantize/small_x3/sensitivity.csv", index=False)
    worst = waterfall.most_sensitive(Path("results/quantize"), ["abpn_x3", "small_x3"])
    assert [tables.line(row, waterfall.COLUMNS) for _, row in worst.iterrows()] == [
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
    summary = "<summary>Layers most sensitive to int8</summary>"
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
