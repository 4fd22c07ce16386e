"""The headline metrics of the report."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_results import with_cells

from pipeline_src.reporting import headline

SYSTEM_FIGURES = {"psnr_y_fp32", "psnr_y_ptq", "psnr_y_qat", "loss_db", "p50_ms", "file_bytes"}


def test_metrics_hold_the_deployed_files_numbers(table: pd.DataFrame) -> None:
    x3 = headline.metrics(table)["abpn_x3"]["x3"]
    assert x3["Set5"]["psnr_y_bicubic"] == 30.4
    assert x3["Set5"]["psnr_y_qat"] == 31.29
    assert x3["Set5"]["gain_db_ptq"] == 0.71
    assert x3["p50_ms"] == {"fp32": 78.2, "ptq": 25.1, "qat": 24.9}
    assert x3["p50_ms_per_mp"]["fp32"] == pytest.approx(78.2 / 2.0736, abs=1e-3)
    assert x3["fp32_p50_over"]["qat"] == pytest.approx(78.2 / 24.9, abs=1e-3)
    assert "NaN" not in json.dumps(headline.metrics(table))


def test_a_latency_that_has_not_settled_is_no_headline(repository: Path) -> None:
    table = with_cells("ptq", "tflite", settled=False, runs=3)
    x3 = headline.metrics(table)["abpn_x3"]["x3"]
    assert x3["p50_ms"] == {"fp32": 78.2, "qat": 24.9}
    assert set(x3["p50_ms_per_mp"]) == set(x3["p50_ms"])
    assert set(x3["fp32_p50_over"]) == {"qat"}
    assert x3["Set5"]["gain_db_ptq"] == 0.71, "its quality does not depend on the timing"


def test_states_are_compared_by_a_few_figures_of_each_net(table: pd.DataFrame) -> None:
    figures = headline.of_nets(table)
    assert {*figures} == {f"{net}/{key}" for net in ("abpn_x3", "small_x3") for key in SYSTEM_FIGURES}
    of_net = {key.removeprefix("abpn_x3/"): figures[key] for key in figures if key.startswith("abpn_x3/")}
    assert of_net == {
        "psnr_y_fp32": pytest.approx((27.31 + 30.40) / 2 + 0.95, abs=1e-3),
        "psnr_y_ptq": pytest.approx((27.31 + 30.40) / 2 + 0.71, abs=1e-3),
        "psnr_y_qat": pytest.approx((27.31 + 30.40) / 2 + 0.89, abs=1e-3),
        "loss_db": pytest.approx(0.06),
        "p50_ms": 24.9,  # int8 QAT in TFLite
        "file_bytes": 1024 * 55,
    }
    assert headline.devices(["abpn_x3", "small_x3"]) == ["Model <9> & Co @ 2.10GHz"]


def test_a_net_of_several_scales_has_figures_for_each(crowd: pd.DataFrame) -> None:
    figures = headline.of_nets(crowd)
    assert {key.split("/")[1] for key in figures if key.startswith("carn/")} == {"x2", "x3", "x4"}
    assert figures["carn/x2/p50_ms"] > 0
    assert "abpn_x2/p50_ms" in figures


def test_a_file_without_int8_ships_as_it_is(table: pd.DataFrame) -> None:
    figures = headline.of_nets(table[table["variant"].isin(["bicubic", "fp32"])])
    assert figures["abpn_x3/p50_ms"] == 78.2
    assert "abpn_x3/loss_db" not in figures
