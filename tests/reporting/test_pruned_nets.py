"""Pruned nets in the report, each beside the whole net and bicubic."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline_src import params as settings
from pipeline_src.reporting import figures, pruning, tables, texts

SETS = ["samples_heldout", "Set5"]
LOST = {"vdsr/l1_25": -0.1, "vdsr/l1_50": -0.3, "vdsr/l1_90": -1.9, "vdsr/fpgm_50": -0.4, "vdsr/level_50": -0.05}


@pytest.fixture
def compared(full_house: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.chdir(full_house)
    params = settings.load()
    return pruning.compared(tables.read(Path("results/benchmark"), params.nets(), SETS), params.systems)


def test_every_pruned_net_stands_below_the_whole_one(compared: pd.DataFrame) -> None:
    assert len(compared) == (1 + len(LOST)) * 3 * len(SETS)
    x2 = compared[(compared["scale"] == 2) & (compared["set"] == "Set5")]
    assert list(x2["sparsity"]) == [0, 0.25, 0.5, 0.5, 0.5, 0.9]
    assert list(x2["how"]) == ["", "L1 norm", "L1 norm", "FPGM", "level (weights), some layers", "L1 norm"]
    lost = x2.set_index("system")["against_whole_db"].round(6)
    assert lost.drop("vdsr").to_dict() == LOST
    assert x2.set_index("system")["times_faster"]["vdsr/l1_50"] == pytest.approx(3.6)
    assert (x2["gain_db"] - x2["against_whole_db"].fillna(0)).round(6).nunique() == 1


def test_the_figure_has_a_colour_for_every_way(compared: pd.DataFrame, tmp_path: Path) -> None:
    from matplotlib.colors import to_hex
    from PIL import Image

    rows = compared[compared["set"] == "Set5"]
    png = pruning.draw(rows, tmp_path / "pruning.png", figures.LIGHT)
    with Image.open(png) as image:
        there = {to_hex([part / 255 for part in colour]) for _, colour in image.convert("RGB").getcolors(2**24)}
    assert {*figures.LIGHT.series[:3], figures.LIGHT.ink, figures.LIGHT.variants["bicubic"]} <= there
    words = pruning.in_words(rows)
    assert "vdsr/l1_50 ×2 (L1 norm at 50%) -0.30 dB" in words


def test_the_table_is_in_the_texts(compared: pd.DataFrame, full_house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(full_house)
    table = tables.read(Path("results/benchmark"), settings.load().nets(), SETS)
    written = texts.markdown(table, compared)
    assert "**Pruned nets, fp32**" in written
    assert "| vdsr/l1_90 | L1 norm | 90% | ×4 | Set5 |" in written
    assert pruning.compared(table, {}).empty
    assert "Pruned nets" not in texts.markdown(table, pruning.compared(table, {}))
