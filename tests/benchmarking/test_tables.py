"""Tables of a system with a smaller net, and with a file that cannot be run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from pipeline_src.benchmarking import tables
from pipeline_src.benchmarking.keys import KEY_COLUMNS, FileKey, Row
from pipeline_src.errors import UserError

BICUBIC = FileKey("net_x2", "bicubic", "", 2)
LARGE, SMALL = FileKey("net_x2", "fp32", "onnx", 2), FileKey("net_x2/half", "fp32", "onnx", 2)
BROKEN = FileKey("net_x2", "fp32", "openvino", 2)


def card(key: FileKey, fails: str = "") -> Any:
    return SimpleNamespace(system=key.net, variant=key.variant, format=key.runtime, scale=key.scale, fails=fails)


FILES = {Path("a"): card(LARGE), Path("b"): card(SMALL)}
EXPORTED = FILES | {Path("c"): card(BROKEN, fails="the compiler crashed")}
IMAGES: list[Row] = [
    key.columns() | {"set": "Set5", "image": image} | dict.fromkeys(tables.QUALITY_COLUMNS, psnr)
    for key, psnrs in ((BICUBIC, (30.0, 32.0)), (LARGE, (33.0, 35.0)), (SMALL, (31.0, 34.0)))
    for image, psnr in zip("ab", psnrs, strict=True)
]
COSTS = pd.DataFrame(
    [
        LARGE.columns() | {"runs": 30, "p50_ms": 8.0, "settled": True},
        SMALL.columns() | {"runs": 3, "p50_ms": 4.0, "settled": False},
    ]
)
AGREEMENTS: list[Row] = [key.columns() | {"disagrees": ""} for key in (LARGE, SMALL)]


def table() -> pd.DataFrame:
    return tables.combine(IMAGES, COSTS, AGREEMENTS, EXPORTED, ["Set5"])  # type: ignore[arg-type]


def test_combine_returns_a_row_per_upscaler_and_set_with_means_costs_and_agreement() -> None:
    rows = {FileKey(*(row[column] for column in KEY_COLUMNS)): row for row in table().to_dict("records")}
    assert list(rows) == [BICUBIC, LARGE, SMALL, BROKEN]
    assert [rows[key]["psnr_y"] for key in (BICUBIC, LARGE, SMALL)] == [31.0, 34.0, 32.5]
    assert [rows[key]["p50_ms"] for key in (LARGE, SMALL)] == [8.0, 4.0]
    assert rows[LARGE]["images"] == 2
    assert pd.isna(rows[BICUBIC]["p50_ms"])
    assert rows[BROKEN]["fails"] == "the compiler crashed"
    assert pd.isna(rows[BROKEN]["psnr_y"])
    assert list(table().columns) == [
        *KEY_COLUMNS, "set", "images", *tables.QUALITY_COLUMNS, "runs", "p50_ms", "settled", "disagrees", "fails"
    ]  # fmt: skip


def test_the_tables_of_each_net_contain_the_bicubic_rows(tmp_path: Path) -> None:
    tables.write(tmp_path, FILES, IMAGES, table())
    large, small = (pd.read_csv(folder / "benchmark.csv") for folder in (tmp_path, tmp_path / "half"))
    assert large["variant"].tolist() == ["bicubic", "fp32", "fp32"]
    assert small["variant"].tolist() == ["bicubic", "fp32"]
    assert set(small["system"]) == {"net_x2/half"}
    images = pd.read_csv(tmp_path / "half/images.csv")
    assert images["psnr_y"].tolist() == [30.0, 32.0, 31.0, 34.0]


def test_tracked_metrics_are_named_by_net_variant_format_scale_and_set() -> None:
    assert tables.tracked_metrics(table()) == {
        "fp32_onnx_x2_Set5_psnr_y": 34.0,
        "fp32_onnx_x2_p50_ms": 8.0,
        "fp32_onnx_x2_runs": 30,
        "half_fp32_onnx_x2_Set5_psnr_y": 32.5,
        "half_fp32_onnx_x2_runs": 3,
    }, "a latency that has not settled is none"


def test_the_main_net_is_the_system_or_its_first_subnet() -> None:
    assert tables.main_net("net_x2", FILES) == "net_x2"
    assert tables.main_net("net_x2", {Path("b"): card(SMALL)}) == "net_x2/half"
    with pytest.raises(UserError, match="no exported file of net_x2 can be run here"):
        tables.main_net("net_x2", {})
