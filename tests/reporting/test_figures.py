from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_src.reporting import figures, tables


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
        {"p50_ms": [10, 20, 20, 30, 40, 5], "psnr_y": [30.0, 31.0, 30.5, 31.0, 32.0, 29.0]}, index=list("abcdef")
    )
    assert list(figures.front(points).index) == ["f", "a", "b", "e"]


def test_pareto_shows_every_exported_file_and_no_torch(table: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    rows = table[table["set"] == "Set5"]
    figures.draw_pareto(axes, rows, figures.LIGHT)
    drawn = {(float(x), float(y)) for line in axes.lines if line.get_marker() != "None" for x, y in line.get_xydata()}
    files = rows[rows["p50_ms"].notna() & (rows["runtime"] != "torch")]
    assert drawn == set(zip(files["p50_ms"], files["psnr_y"], strict=True))
    assert "bicubic 30.40 dB" in [text.get_text() for text in axes.texts]
    assert axes.get_xlim()[0] < files["p50_ms"].min() < files["p50_ms"].max() < axes.get_xlim()[1]


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
    with_crop = pixels(figures.overview(table, crop, tmp_path / "with.png"))
    without = pixels(figures.overview(table, None, tmp_path / "without.png"))
    assert with_crop.shape[1] == without.shape[1]
    assert with_crop.shape[0] > without.shape[0]
    orange = np.array([0xD0, 0x50, 0x30])  # of the suit
    assert (np.abs(with_crop.astype(int) - orange).max(axis=2) < 40).sum() > 500


def test_the_same_table_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    shown = table[table["set"] == "Set5"]
    once, again = (figures.waterfall(shown, tmp_path / name, figures.LIGHT) for name in ("once.png", "again.png"))
    assert once.read_bytes() == again.read_bytes()


def test_a_table_without_timings_still_draws(table: pd.DataFrame, tmp_path: Path) -> None:
    untimed = table[table["set"] == "Set5"].assign(p50_ms=float("nan"))
    assert figures.LIGHT.variants["bicubic"] in colours(
        pixels(figures.pareto(untimed, tmp_path / "p.png", figures.LIGHT))
    )
