"""The figure of quality and latency in the picture of the README."""

from pathlib import Path

import pandas as pd
from made_results import pick, with_cells

from pipeline_src.reporting import pareto
from pipeline_src.reporting.drawing import LIGHT
from pipeline_src.reporting.labels import place_labels


def test_the_front_holds_the_points_that_no_other_beats() -> None:
    points = pd.DataFrame(
        {"ms_per_mp": [10, 20, 20, 30, 40, 5], "psnr_y": [30.0, 31.0, 30.5, 31.0, 32.0, 29.0]}, index=list("abcdef")
    )
    assert list(pareto.pareto_front(points).index) == ["f", "a", "b", "e"]


def test_pareto_shows_every_exported_file_and_no_torch(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rows = table[table["set"] == "Set5"]
    pareto.draw_panel(axes, rows, LIGHT)
    drawn = {(float(x), float(y)) for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()}
    files = rows[rows["p50_ms"].notna() & (rows["runtime"] != "torch")]
    assert drawn == set(zip(files["ms_per_mp"], files["psnr_y"], strict=True))
    assert "bicubic 30.40 dB" in [text.get_text() for text in axes.texts]
    assert axes.get_xlim()[0] < files["ms_per_mp"].min() < files["ms_per_mp"].max() < axes.get_xlim()[1]


def test_in_a_crowd_pareto_shows_the_fastest_file_of_each_net_and_every_name(crowd: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4))
    axes = figure.subplots()
    rows = crowd[crowd["scale"] == 2]
    labels = pareto.draw_panel(axes, rows, LIGHT)
    systems = ["abpn_x2", "vdsr", "carn", "carn_m", "ecdn", "ecdn_m", "edsr_baseline_x2"]
    assert [label.get_text() for label in labels] == systems
    drawn = {(float(x), float(y)) for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()}
    fastest = rows[rows["runtime"] == "openvino"]
    assert drawn == set(zip(fastest["ms_per_mp"], fastest["psnr_y"], strict=True))
    assert "bicubic 33.60 dB, far below" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > 33.7, "bicubic far below does not squeeze the points"

    place_labels(figure, [labels])
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


def test_a_latency_that_has_not_settled_is_hollow_with_its_interval_and_not_on_the_front(repository: Path) -> None:
    from matplotlib.figure import Figure

    table = with_cells("ptq", "openvino", settled=False)
    rows = table[table["set"] == "Set5"]
    figure = Figure()
    axes = figure.subplots()
    pareto.draw_panel(axes, rows, LIGHT)
    markers = {tuple(line.get_xydata()[0]): line for line in axes.lines if line.get_marker() != "None"}
    hollow = {point for point, line in markers.items() if line.get_markerfacecolor() == LIGHT.paper}
    unsettled = pick(rows, system="abpn_x3", variant="ptq", runtime="openvino")
    assert hollow == {(unsettled["ms_per_mp"], unsettled["psnr_y"])}
    ends = [unsettled["ms_per_mp"] * unsettled[f"p50_{end}_ms"] / unsettled["p50_ms"] for end in ("low", "high")]
    assert [*ends] in [list(line.get_xdata()) for line in axes.lines]
    pareto.draw_legend(figure, rows, LIGHT)
    assert figure.legends[0].get_texts()[-1].get_text() == "not settled"


def test_in_a_crowd_a_settled_file_stands_for_its_net_before_faster_ones_that_are_not(crowd: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    rows = crowd[crowd["scale"] == 2]
    rows = rows.assign(settled=rows["runtime"] != "openvino")
    axes = Figure().subplots()
    pareto.draw_panel(axes, rows, LIGHT)
    drawn = {line.get_xydata()[0][0] for line in axes.lines if line.get_marker() != "None"}
    assert not drawn & set(rows.loc[rows["runtime"] == "openvino", "ms_per_mp"])


def test_a_table_without_timings_still_draws(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    untimed = table[table["set"] == "Set5"].assign(p50_ms=float("nan"), ms_per_mp=float("nan"))
    assert pareto.draw_panel(axes, untimed, LIGHT) == []
    assert next(line.get_color() for line in axes.lines) == LIGHT.variants["bicubic"]
