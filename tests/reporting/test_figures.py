from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import MANY, MANY_SETS
from PIL import Image

from pipeline_src.reporting import figures, tables
from pipeline_src.reporting.names import place_names


@pytest.fixture
def table(repository: Path) -> pd.DataFrame:
    return tables.read(Path("results/benchmark"), ["abpn_x3", "small_x3"], ["samples_heldout", "Set5"])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def colours(image: np.ndarray) -> set[str]:
    return {"#{:02x}{:02x}{:02x}".format(*colour) for colour in np.unique(image.reshape(-1, 3), axis=0)}


def test_the_front_holds_the_points_that_no_other_beats() -> None:
    points = pd.DataFrame(
        {"ms_per_mp": [10, 20, 20, 30, 40, 5], "psnr_y": [30.0, 31.0, 30.5, 31.0, 32.0, 29.0]}, index=list("abcdef")
    )
    assert list(figures.front(points).index) == ["f", "a", "b", "e"]


def test_pareto_shows_every_exported_file_and_no_torch(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rows = table[table["set"] == "Set5"]
    figures.draw_pareto(axes, rows, figures.LIGHT)
    drawn = {(float(x), float(y)) for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()}
    files = rows[rows["p50_ms"].notna() & (rows["runtime"] != "torch")]
    assert drawn == set(zip(files["ms_per_mp"], files["psnr_y"], strict=True))
    assert "bicubic 30.40 dB" in [text.get_text() for text in axes.texts]
    assert axes.get_xlim()[0] < files["ms_per_mp"].min() < files["ms_per_mp"].max() < axes.get_xlim()[1]


@pytest.fixture
def crowd(full_house: Path) -> pd.DataFrame:
    """One set, all systems, with their scales 2, 3 and 4."""
    return tables.read(full_house / "results/benchmark", list(MANY), list(MANY_SETS)).query("set == 'Set5'")


def test_in_a_crowd_pareto_shows_the_fastest_file_of_each_net_and_every_name(crowd: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4))
    axes = figure.subplots()
    rows = crowd[crowd["scale"] == 2]
    names = figures.draw_pareto(axes, rows, figures.LIGHT)
    systems = ["abpn_x2", "vdsr", "carn", "carn_m", "ecdn", "ecdn_m", "edsr_baseline_x2"]
    assert [name.get_text() for name in names] == systems
    drawn = {(float(x), float(y)) for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()}
    fastest = rows[rows["runtime"] == "openvino"]
    assert drawn == set(zip(fastest["ms_per_mp"], fastest["psnr_y"], strict=True))
    assert "bicubic 33.60 dB, far below" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > 33.7, "bicubic far below does not squeeze the points"

    place_names(figure, [names])
    boxes = [name.get_window_extent() for name in names]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


@pytest.mark.parametrize("draw", [figures.pareto, figures.waterfall])
def test_a_figure_has_one_panel_per_scale(crowd: pd.DataFrame, tmp_path: Path, draw) -> None:
    one = pixels(draw(crowd[crowd["scale"] == 4], tmp_path / "one.png", figures.LIGHT))
    three = pixels(draw(crowd, tmp_path / "three.png", figures.LIGHT))
    assert one.shape[1] == three.shape[1]
    assert 2.4 * one.shape[0] < three.shape[0] < 3.1 * one.shape[0]


def test_waterfall_of_several_systems_tells_gain_and_changes(crowd: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rows = tables.deployed(crowd[(crowd["scale"] == 3) & crowd["system"].isin(["carn", "ecdn_m"])])
    figures.draw_waterfall(axes, rows, figures.LIGHT)
    assert [text.get_text() for text in axes.texts] == ["+1.72", "−0.13", "+0.08", "+1.55", "−1.75", "+1.70"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["carn", "ecdn_m"]


def test_waterfall_steps_lead_from_variant_to_variant(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    files = tables.deployed(table)
    figures.draw_waterfall(axes, files[(files["system"] == "small_x3") & (files["set"] == "Set5")], figures.LIGHT)
    solid = [bar for bar in axes.patches if bar.get_alpha() is None]
    ends = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in solid]
    assert np.allclose(ends, [(0, 0.31), (0.31, -0.12), (-0.12, 0)])
    assert [text.get_text() for text in axes.texts] == ["+0.31 dB", "−0.12 dB\n(−0.43)", "+0.00 dB\n(+0.12)"]


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("draw", [figures.pareto, figures.waterfall])
def test_figures_are_drawn_in_the_colours_of_their_theme(table: pd.DataFrame, tmp_path: Path, draw, theme) -> None:
    shown = table[table["set"] == "Set5"]
    image = pixels(draw(shown, tmp_path / "figure.png", theme))
    assert image.shape[1] >= 900
    assert {theme.paper, *(theme.variants[v] for v in ("fp32", "ptq", "qat"))} <= colours(image)


def test_the_overview_shows_the_crop(table: pd.DataFrame, tmp_path: Path) -> None:
    crop = Path("results/benchmark/abpn_x3/crops/Set5_astronaut_x3")
    with_crop = pixels(figures.overview(table, "abpn_x3", crop, tmp_path / "with.png"))
    without = pixels(figures.overview(table, "abpn_x3", None, tmp_path / "without.png"))
    assert with_crop.shape[1] == without.shape[1]
    assert with_crop.shape[0] > without.shape[0]
    orange = np.array([0xD0, 0x50, 0x30])  # of the suit
    assert (np.abs(with_crop.astype(int) - orange).max(axis=2) < 40).sum() > 500


def test_the_same_table_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    shown = table[table["set"] == "Set5"]
    once, again = (figures.waterfall(shown, tmp_path / name, figures.LIGHT) for name in ("once.png", "again.png"))
    assert once.read_bytes() == again.read_bytes()


def test_a_table_without_timings_still_draws(table: pd.DataFrame, tmp_path: Path) -> None:
    untimed = table[table["set"] == "Set5"].assign(p50_ms=float("nan"), ms_per_mp=float("nan"))
    assert figures.LIGHT.variants["bicubic"] in colours(
        pixels(figures.pareto(untimed, tmp_path / "p.png", figures.LIGHT))
    )
