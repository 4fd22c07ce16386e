"""The report's section on pruned nets."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline_src import config
from pipeline_src.reporting import data, texts
from pipeline_src.reporting.drawing import LIGHT
from pipeline_src.reporting.sections import pruning

SETS = ["samples_heldout", "Set5"]
LOST = {"vdsr/l1_25": -0.1, "vdsr/l1_50": -0.3, "vdsr/l1_90": -1.9, "vdsr/fpgm_50": -0.4, "vdsr/level_50": -0.05}


@pytest.fixture
def compared(full_house: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.chdir(full_house)
    measured = data.read(config.load(), "")
    return pruning.compare(measured.table, measured.params.prune)


def test_every_pruned_net_is_listed_below_the_unpruned_one(compared: pd.DataFrame) -> None:
    assert len(compared) == (1 + len(LOST)) * 3 * len(SETS)
    x2 = compared[(compared["scale"] == 2) & (compared["set"] == "Set5")]
    assert list(x2["sparsity"]) == [0, 0.25, 0.5, 0.5, 0.5, 0.9]
    assert list(x2["how"]) == [
        "", *["L1 norm of importance"] * 2, "FPGM of importance", "single weights by importance, some layers",
        "L1 norm of importance",
    ]  # fmt: skip
    lost = x2.set_index("system")["over_unpruned_db"].round(6)
    assert lost.drop("vdsr").to_dict() == LOST
    assert x2.set_index("system")["times_faster"]["vdsr/l1_50"] == pytest.approx(3.6)
    assert (x2["gain_db"] - x2["over_unpruned_db"].fillna(0)).round(6).nunique() == 1


def test_the_figure_has_a_colour_for_every_way(compared: pd.DataFrame, tmp_path: Path) -> None:
    from matplotlib.colors import to_hex
    from PIL import Image

    rows = compared[compared["set"] == "Set5"]
    png = pruning.draw(rows, tmp_path / "pruning.png", LIGHT)
    with Image.open(png) as image:
        colours = {to_hex([part / 255 for part in colour]) for _, colour in image.convert("RGB").getcolors(2**24)}
    assert {*LIGHT.series[:3], LIGHT.ink, LIGHT.variants["bicubic"]} <= colours
    words = pruning.describe(rows)
    assert "vdsr/l1_50 ×2 (L1 norm of importance at 50%) -0.30 dB" in words


def test_the_table_is_in_the_texts(full_house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(full_house)
    measured = data.read(config.load(), "")
    written = texts.markdown(measured)
    assert "**Pruned nets, fp32**" in written
    assert "| vdsr/l1_90 | L1 norm of importance | 90% | ×4 | Set5 |" in written
    assert pruning.compare(measured.table, {}).empty
    unpruned = replace(measured, params=measured.params.model_copy(update={"prune": {}}))
    assert "Pruned nets" not in texts.markdown(unpruned)
    assert pruning.build(unpruned) is None
