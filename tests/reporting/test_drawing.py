"""What the figures of the report have in common."""

import re
from pathlib import Path

import pandas as pd
import pytest
from made_results import colours, pixels

from pipeline_src.reporting.drawing import DARK, LIGHT, recolour
from pipeline_src.reporting.sections import waterfall


def test_a_figure_has_one_panel_per_scale(crowd: pd.DataFrame, tmp_path: Path) -> None:
    one = pixels(waterfall.draw(crowd[crowd["scale"] == 4], tmp_path / "one.png", LIGHT))
    three = pixels(waterfall.draw(crowd, tmp_path / "three.png", LIGHT))
    assert one.shape[1] == three.shape[1]
    assert 2.4 * one.shape[0] < three.shape[0] < 3.1 * one.shape[0]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_figures_are_drawn_in_the_colours_of_their_theme(table: pd.DataFrame, tmp_path: Path, theme) -> None:
    shown = table[table["set"] == "Set5"]
    image = pixels(waterfall.draw(shown, tmp_path / "figure.png", theme))
    assert image.shape[1] >= 900
    assert {theme.paper, *(theme.variants[v] for v in ("fp32", "ptq", "qat"))} <= colours(image)


def test_the_same_table_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    shown = table[table["set"] == "Set5"]
    once, again = (waterfall.draw(shown, tmp_path / name, LIGHT) for name in ("once.png", "again.png"))
    assert once.read_bytes() == again.read_bytes()


def test_a_recoloured_figure_is_the_one_that_is_drawn_in_these_colours(table: pd.DataFrame, tmp_path: Path) -> None:
    shown = table[table["set"] == "Set5"]
    for theme in (LIGHT, DARK):
        (tmp_path / theme.name).mkdir()
    light, dark = (waterfall.draw(shown, tmp_path / theme.name / "figure.svg", theme) for theme in (LIGHT, DARK))
    recolour(light, tmp_path / "recoloured.svg", LIGHT, DARK)
    # matplotlib names what is used several times by a hash of its style
    before, after, drawn = (
        re.sub(r'(?<=["#])[a-z]?[0-9a-f]{10,}(?=["\)])', "", file.read_text())
        for file in (light, tmp_path / "recoloured.svg", dark)
    )
    assert before != after == drawn
