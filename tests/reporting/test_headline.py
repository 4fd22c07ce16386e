"""The headline metrics of the report."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_results import with_cells

from pipeline_src.reporting import headline


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
