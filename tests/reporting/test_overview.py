"""The picture of the README."""

from pathlib import Path

import numpy as np
import pandas as pd
from made_results import pixels

from pipeline_src.reporting import overview


def test_the_overview_shows_the_crop(table: pd.DataFrame, tmp_path: Path) -> None:
    crop = Path("results/benchmark/abpn_x3/crops/Set5_astronaut_x3")
    with_crop = pixels(overview.draw(table, "abpn_x3", crop, tmp_path / "with.png"))
    without = pixels(overview.draw(table, "abpn_x3", None, tmp_path / "without.png"))
    assert with_crop.shape[1] == without.shape[1]
    assert with_crop.shape[0] > without.shape[0]
    orange = np.array([0xD0, 0x50, 0x30])  # of the suit
    assert (np.abs(with_crop.astype(int) - orange).max(axis=2) < 40).sum() > 500
