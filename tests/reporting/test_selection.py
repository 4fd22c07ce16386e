"""The page holds the systems that a reader would choose from where there are more than it can show."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_results import enter, large_rows, on_devices, write_benchmark, write_root

from pipeline_src import config
from pipeline_src.reporting import data, selection
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.page.embedding import json_for_scripts
from pipeline_src.reporting.section import Template
from pipeline_src.reporting.sections import budget, measurements, verdict, waterfall

NETS = [f"net_{index:02}_x3" for index in range(60)]
SETS = ("samples_heldout", "Set5", "Set14", "B100", "Urban100", "Manga109")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportData]:
    """The measurements of 60 nets on 6 sets, in their folder; every third is slower and worse than the others."""
    root = tmp_path_factory.mktemp("many") / "repository"
    root.mkdir()
    write_root(root, {net: {"scales": [3]} for net in NETS}, SETS)
    for place, net in enumerate(NETS):
        rows = large_rows(net)
        for row in rows if place % 3 == 0 else []:
            row |= {key: 3 * row[key] for key in row if key.endswith("_ms")}
            row["psnr_y"] -= 0.5 * (row["variant"] != "bicubic")
        write_benchmark(root, net, rows)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(root, monkeypatch)
        yield data.read(config.load(), "")


@pytest.fixture
def few(measured: ReportData, monkeypatch: pytest.MonkeyPatch) -> ReportData:
    """What is shown of them where 20 systems are too many."""
    monkeypatch.setattr(selection, "SYSTEMS", 20)
    return selection.shown(measured)


def test_all_are_shown_while_the_page_can_hold_them(measured: ReportData) -> None:
    assert selection.shown(measured) is measured
    assert selection.note(measured) == ""


def test_the_page_says_what_it_leaves_out(few: ReportData) -> None:
    assert len(few.systems) == 20
    assert {*few.table["system"]} == {*few.systems, "bicubic"}
    assert selection.note(few).startswith("This page shows 20 of 60 systems")


def test_rows_are_limited_as_well_as_systems(measured: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ROWS", 500)
    shown = selection.shown(measured)
    assert 400 < len(shown.table) <= 500
    assert len(shown.systems) == 9  # each of 54 rows


def test_systems_on_a_front_come_first(few: ReportData) -> None:
    assert not [net for net in few.systems if int(net[4:6]) % 3 == 0]


def test_the_shown_reach_from_the_fastest_to_the_best(few: ReportData) -> None:
    assert {"net_01_x3", "net_59_x3"} <= {*few.systems}


def test_the_best_and_the_fastest_file_of_all_are_shown(few: ReportData, measured: ReportData) -> None:
    files = [*budget.measured_files(few)]
    every = [*budget.measured_files(measured)]
    for wanted in (max(every, key=lambda file: file["gain"][""]), min(every, key=lambda file: file["ms"])):
        assert wanted in files


def test_no_scale_comes_before_the_others(measured: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "SYSTEMS", 20)
    other = measured.table["system"].isin(NETS[1::2])
    table = measured.table.assign(scale=measured.table["scale"].where(~other, 4))
    shown = selection.shown(ReportData(measured.params, table))
    assert len({*shown.systems} & {*NETS[1::2]}) == 10


def test_answers_count_all_systems(few: ReportData) -> None:
    (questions,) = verdict.build(few).blocks
    assert "60 networks" in questions.questions[0].answers[0].text


def test_a_system_brings_its_baseline_along(measured: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "SYSTEMS", 20)
    best, poor = "net_59_x3", "net_00_x3"
    systems = measured.params.systems
    changed = systems | {best: systems[best].model_copy(update={"baseline": poor})}
    with_baseline = ReportData(measured.params.model_copy(update={"systems": changed}), measured.table)
    assert {best, poor} <= {*selection.shown(with_baseline).systems}


def test_each_system_adds_a_bounded_number_of_bytes_to_the_page(measured: ReportData) -> None:
    files = [*budget.measured_files(measured)]
    assert len(json_for_scripts(files)) < 1000 * len(files)
    template = next(block for block in measurements.build(measured).blocks if isinstance(block, Template))
    assert len(json_for_scripts(template.values["data"])) < 300 * len(measured.table)


def test_many_devices_are_selected_from(measured: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)
    monkeypatch.setattr(selection, "SYSTEMS", 20)
    shown = selection.shown(on_devices(measured, {"here": 1.0, "pi": 4.5}))
    assert shown.devices == ["here", "pi"]
    assert len(shown.systems) == 20


def test_figures_of_many_nets_are_of_few_sets(few: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_src.reporting.section.NETS_DRAWN", 50)
    monkeypatch.setattr(waterfall, "most_sensitive", lambda folder, systems: few.table.iloc[:0])
    figures = waterfall.build(few).blocks[1]
    assert len(figures.figures) == 2
    assert figures.note == "Drawn are the first 2 of 6 image sets."
