"""The last lines of a run."""

from pathlib import Path

import pandas as pd
import pytest
from made_results import SETS

from pipeline_src import config
from pipeline_src.reporting import texts
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.summary import summary


def lines(table: pd.DataFrame, folder: Path, **params: object) -> list[str]:
    settings = config.load()
    texts.write(ReportData(settings, table), folder)
    return summary(folder, settings.model_copy(update=params))


def test_the_best_int8_file_is_named_with_its_three_figures(table: pd.DataFrame, tmp_path: Path) -> None:
    page, sentence = lines(table, tmp_path)
    assert page == str(tmp_path / "index.html")
    int8 = table[table["variant"].isin(["ptq", "qat"]) & (table["runtime"] == "tflite")]
    gains = int8.groupby(["system", "variant"])["gain_db"].mean()
    system, variant = gains.idxmax()
    row = int8.query("system == @system and variant == @variant").iloc[0]
    assert sentence == (
        f"best int8 file: {system} ×3, int8 {variant.upper()}: "
        f"{gains.max():+.2f} dB over bicubic on {', '.join(SETS)}; "
        f"{row['p50_ms']:.1f} ms from 640×360 to 1920×1080 pixels; {row['size_kib']:.0f} KiB"
    )


def test_a_latency_that_has_not_settled_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    assert " ms (not settled) from " in lines(table.assign(settled=False), tmp_path)[1]


@pytest.mark.parametrize("kept", ["fp32", "bicubic"])
def test_without_an_int8_file_there_is_the_page_alone(table: pd.DataFrame, tmp_path: Path, kept: str) -> None:
    assert lines(table[table["variant"].isin(["bicubic", kept])], tmp_path) == [str(tmp_path / "index.html")]


def test_a_learned_downscaler_makes_other_lr_images_and_does_not_take_part(table: pd.DataFrame, tmp_path: Path) -> None:
    systems = config.load().systems
    best = lines(table, tmp_path)[1].split()[3]
    learning = systems[best].downscaler.model_copy(update={"model": "car"})
    assert learning.learns
    others = systems | {best: systems[best].model_copy(update={"downscaler": learning})}
    assert best not in lines(table, tmp_path, systems=others)[1]
