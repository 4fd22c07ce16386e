"""The report's table of all measurements."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import column

from pipeline_src.stages.report import report


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


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split()[0].replace("−", "-").replace(",", "")) for text in texts if text != "–"]


@pytest.mark.parametrize(("title", "first"), [("p50 (ms)", "ascending"), ("Over bicubic", "descending")])
def test_the_table_is_sorted_by_a_click(opened: Any, title: str, first: str) -> None:
    unsorted = numbers(column(opened, title))
    header = opened.get_by_role("button", name=title)
    for direction in (first, {"ascending": "descending", "descending": "ascending"}[first]):
        header.click()
        texts = column(opened, title)
        assert numbers(texts) == sorted(unsorted, reverse=direction == "descending") != unsorted
        assert texts[-2:] == ["–", "–"], "what was not measured comes last either way"
        assert opened.locator(f"#measurements th[aria-sort={direction}]").count() == 1


def test_the_table_is_filtered(opened: Any) -> None:
    assert opened.locator("#count").inner_text() == "14 of 50 rows"
    assert opened.locator("#measurements thead th").count() <= 10
    opened.locator("[data-key=set]").select_option("Set5")
    assert set(column(opened, "Set")) == {"Set5"}
    opened.locator("[data-key=system]").select_option("small_x3")
    assert set(column(opened, "System")) == {"small_x3", "bicubic"}
    assert "torch" not in column(opened, "Runtime")
    opened.get_by_label("every runtime").check()
    assert sorted(column(opened, "Runtime")) == sorted(["–", *["TFLite", "OpenVINO", "ONNX", "torch"] * 3])
    assert opened.locator("#count").inner_text() == "13 of 50 rows"
    opened.get_by_label("Find").fill("ABPN")
    assert opened.locator("#count").inner_text() == "0 of 50 rows"
    opened.locator("[data-key=system]").select_option("all")
    assert set(column(opened, "System")) == {"abpn_x3"}


def test_columns_are_folded_and_unfolded(opened: Any) -> None:
    titles = opened.locator("#measurements thead th")
    before = titles.all_inner_texts()
    opened.locator(".columns summary").click()
    opened.get_by_label("Levels off").check()
    assert set(column(opened, "Levels off")) == {"–", "2"}
    opened.get_by_label("Levels off").uncheck()
    assert titles.all_inner_texts() == before


def test_many_rows_are_shown_when_the_reader_asks_for_them(large: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto(large.as_uri())
    rows = tab.locator("#measurements tbody tr")
    assert rows.count() == 100
    tab.locator("#more").click()
    assert f"{rows.count()} of 6498 rows" == tab.locator("#count").inner_text() == "2178 of 6498 rows"
    tab.locator("[data-key=device]").select_option("pi")
    assert rows.count() == 100
    assert set(column(tab, "Device")) == {"–", "pi"}, "bicubic stands beside every device"
    tab.close()
