from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import MANY, MANY_SETS

from pipeline_src.reporting import tables
from pipeline_src.reporting.sections import published


@pytest.fixture(scope="module")
def table(full_house: Path) -> pd.DataFrame:
    return tables.read(full_house / "results/benchmark", list(MANY), list(MANY_SETS))


def test_every_published_figure_can_be_shown_and_names_its_source() -> None:
    figures = published.read()
    assert set(figures["metric"]) == set(published.METRICS)
    assert not figures.isna().any().any()
    assert not figures.duplicated(["system", "variant", "set", "scale", "metric", "source"]).any()
    ssim = figures["metric"] == "ssim_y"
    assert figures.loc[ssim, "value"].between(0.5, 1).all()
    assert figures.loc[~ssim, "value"].between(20, 45).all()


def test_who_has_an_ssim_has_a_psnr_and_quality_falls_with_scale() -> None:
    figures = published.read()
    key = ["system", "variant", "set", "scale", "source"]
    wide = figures[figures["metric"].isin(["psnr_y", "ssim_y"])].pivot(index=key, columns="metric", values="value")
    assert wide["psnr_y"].notna().all()
    collapsed = wide.query("system == 'ecdn_m'")  # its one batch norm for all scales fits ×3 least
    assert collapsed.xs(("Set5", 3), level=("set", "scale"))["psnr_y"].item() < 28.1
    for figure in ("psnr_y", "ssim_y"):
        by_scale = wide.drop(collapsed.index)[figure].dropna().unstack("scale").dropna()
        assert len(by_scale) > 10
        assert (by_scale.diff(axis="columns").iloc[:, 1:] < 0).all(axis=None)


def test_every_system_of_the_seeds_has_figures_on_the_usual_sets() -> None:
    figures = published.read().query("metric == 'psnr_y'")
    for system, (scales, *_) in MANY.items():
        for scale in scales:
            if system not in ("abpn_x2", "abpn_x4"):  # published at ×3 alone
                sets = set(figures.query("system == @system and scale == @scale")["set"])
                assert sets >= {"Set5", "Set14", "BSD100"}, (system, scale)


def test_ours_stands_beside_each_source_with_the_difference(table: pd.DataFrame) -> None:
    rows = published.compare(table)
    vdsr = rows.query("system == 'vdsr' and scale == 2 and set == 'Set5'")
    ours = table.query(
        "system == 'vdsr' and scale == 2 and set == 'Set5' and variant == 'fp32' and runtime == 'tflite'"
    )
    assert list(vdsr["published_psnr_y"]) == [37.53, 37.65, 37.58]
    assert (vdsr["psnr_y"] == ours["psnr_y"].item()).all()
    assert np.allclose(vdsr["difference_db"], ours["psnr_y"].item() - vdsr["published_psnr_y"])
    assert vdsr["published_ssim_y"].iloc[0] == 0.9587
    assert vdsr["published_ssim_y"].iloc[1:].isna().all()
    assert set(rows["set"]) == {"Set5"}
    assert set(rows.query("system == 'abpn_x3'")["variant"]) == {"fp32", "ptq", "qat"}
    assert set(rows.query("system == 'bicubic'")["scale"]) == {2, 3, 4}


def test_a_grid_has_a_line_per_source(table: pd.DataFrame) -> None:
    grids, sources = published.grids(published.compare(table))
    assert [grid.scale for grid in grids] == [2, 3, 4]
    assert all(grid.sets == ["Set5"] for grid in grids)
    vdsr = [line for line in grids[0].lines if line.system == "vdsr"]
    assert ["VDSR paper" in sources[line.source - 1] for line in vdsr] == [True, False, False]
    assert (grids[0].lines[0].system, grids[0].lines[0].variant) == ("bicubic", "–")
    assert vdsr[0].pairs == [published.Pair("36.40", "0.9533", "37.53", "0.9587", "−1.13")]
    assert vdsr[1].pairs[0].published_ssim == ""


def test_a_source_without_a_set_leaves_a_gap(table: pd.DataFrame) -> None:
    both = pd.concat([table, table[table["set"] == "Set5"].assign(set="Set14")], ignore_index=True)
    grid = published.grids(published.compare(both))[0][0]
    assert grid.sets == ["Set5", "Set14"]
    assert [[pair is None for pair in line.pairs] for line in grid.lines if line.system == "vdsr"] == [
        [False, False], [False, False], [False, True],
    ]  # fmt: skip


def test_without_published_figures_there_is_no_grid(table: pd.DataFrame) -> None:
    assert published.grids(published.compare(table[table["set"] == "samples_heldout"])) == ([], [])
