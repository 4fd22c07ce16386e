"""The latency table: measured, read, and added up."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from spaces import ANCHOR, CONV, MOBILE, PLAIN, ROWS, latency_spec

from pipeline_src.benchmarking import machine
from pipeline_src.config import PinnedFile, Search
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.models.once_for_all import build
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching import latency


def test_the_table_adds_up_the_latencies_of_blocks() -> None:
    table = latency.Table(ROWS)
    assert table.devices == [("openvino", "int8"), ("tflite", "int8")]
    assert table.ms([CONV, CONV, ANCHOR], ("openvino", "int8")) == 2 * 1.5 - 0.25
    assert table.ms([CONV, ANCHOR], ("tflite", "int8")) == 6
    with pytest.raises(UserError, match=r"has no Block\(kind='conv', inputs=9, .* in tflite int8; measure it again"):
        table.ms([CONV, Block("conv", 9, 9)], ("tflite", "int8"))
    with pytest.raises(UserError, match=r"has no Block\(kind='anchor'.* in tflite float32"):
        table.ms([ANCHOR], ("tflite", "float32"))


def pinned_file(path: Path) -> PinnedFile:
    return PinnedFile(file=str(path), sha256=sha256(path)[:12])


def test_a_table_of_other_hardware_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ROWS.assign(remark="mine").to_csv(tmp_path / "table.csv", index=False)
    table = latency.read(pinned_file(tmp_path / "table.csv"), latency_spec())
    pd.testing.assert_frame_equal(table, ROWS[latency.COLUMNS])
    here = machine.describe(1)["cpu"]
    said = f"the latency table {tmp_path / 'table.csv'} was measured on a toaster, and this is {here}"
    assert caplog.messages == [said]
    caplog.clear()
    ROWS.assign(cpu=here).to_csv(tmp_path / "table.csv", index=False)
    latency.read(pinned_file(tmp_path / "table.csv"), latency_spec())
    assert not caplog.messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"does not exist; correct latency\.table"),
        ("", r"is empty; correct latency\.table"),
        (ROWS.drop(columns="expand").to_csv(), r"lacks the column expand; correct latency\.table"),
        (ROWS.drop(columns="ms").to_csv(), r"lacks the column ms; correct latency\.table"),
        (ROWS.to_csv()[:-3], r"is damaged: it ends in the middle of a line; correct latency\.table"),
        (ROWS.assign(ms="fast").to_csv(), "is damaged: line 2 has 'fast' where a number belongs; correct"),
        (ROWS.assign(width=40).to_csv(), r"of images of \[\(24, 40\)\], but latency\.size is \[24, 32\]; correct one"),
        (ROWS[:0].to_csv(), r"is of images of \[\], but latency\.size is \[24, 32\]"),
    ],
    ids=["missing", "empty", "no expand", "no ms", "cut short", "text", "other size", "no rows"],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=said) as error:
        latency.read(pinned_file(path) if path.exists() else PinnedFile(file=str(path), sha256="0" * 8), latency_spec())
    assert str(path) in str(error.value)


def test_another_table_under_the_same_name_is_refused(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "table.csv")
    pinned = pinned_file(tmp_path / "table.csv")
    ROWS.assign(ms=1.0).to_csv(tmp_path / "table.csv")
    with pytest.raises(UserError, match=rf"has the SHA-256 .*, not latency\.table's {pinned.sha256}; correct one"):
        latency.read(pinned, latency_spec())


@pytest.mark.usefixtures("cores")
def test_a_search_that_was_stopped_goes_on_with_the_same_table(tmp_path: Path) -> None:
    supernet: Any = build([4], **PLAIN)
    numbers: dict[str, Any] = dict.fromkeys(("images", "samples", "candidates", "promising"), 1) | {"crop": 16}
    budgets = {"scales": [4], "seeds": [1], "nets": {"light": {"scale": 4, "parameters": 1e3}}}
    search = Search.model_validate(numbers | budgets | {"latency": latency_spec().model_dump()})
    first, second, other = (
        latency.latency_table(supernet, search, tmp_path / name) for name in ("kept", "kept", "other")
    )
    for once, again in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(once, again)
    assert not first[0]["ms"].equals(other[0]["ms"])


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("net", [PLAIN, MOBILE], ids=lambda net: net["space"])
def test_every_block_and_complete_subnets_are_measured(tmp_path: Path, net: dict[str, Any]) -> None:
    supernet: Any = build([2, 4], **net)
    subnets = {
        "small": tuple(supernet.blocks(supernet.smallest(4))),
        "large": tuple(supernet.blocks(supernet.largest(2))),
    }
    spec = latency_spec(runtimes=["tflite", "openvino"], precisions=["int8", "float32"])
    rows, checks = latency.measure(supernet.all_blocks(), subnets, spec, tmp_path)
    devices = [(runtime, precision) for precision in ("int8", "float32") for runtime in ("tflite", "openvino")]
    assert [*rows] == [*latency.COLUMNS, *latency.MEASUREMENT]
    assert (rows["p50_low_ms"] <= rows["p50_ms"]).all()
    assert (rows["p50_ms"] <= rows["p50_high_ms"]).all()
    assert (rows["ms"] <= rows["p50_ms"]).all(), "conversions are subtracted"
    assert not rows["settled"].any(), "six runs were enough here"
    blocks = [Block(*row) for row in rows[latency.BLOCK].itertuples(index=False)]
    measured = Counter(zip(rows["runtime"], rows["precision"], blocks, strict=True))
    assert measured == Counter((*device, block) for device in devices for block in supernet.all_blocks())
    assert np.isfinite(rows["ms"]).all()
    assert {*rows["cpu"]} == {machine.describe(1)["cpu"]}
    assert rows[["height", "width", "threads"]].drop_duplicates().to_numpy().tolist() == [[24, 32, 1]]
    assert [*checks] == latency.CHECK
    assert [*zip(checks["runtime"], checks["precision"], checks["subnet"], strict=True)] == [
        (*device, name) for device in devices for name in subnets
    ]
    assert (checks["ms"] > 0).all()
    rows.to_csv(tmp_path / "table.csv", index=False)
    table = latency.Table(latency.read(pinned_file(tmp_path / "table.csv"), spec))
    for check in checks.to_dict("records"):
        assert table.ms(subnets[check["subnet"]], (check["runtime"], check["precision"])) == pytest.approx(
            check["by_table"]
        )
        assert check["error"] == pytest.approx(check["by_table"] / check["ms"] - 1)


def test_the_error_of_the_table_is_that_of_settled_subnets() -> None:
    checks = pd.DataFrame(
        {
            "runtime": ["tflite", "tflite", "tflite", "openvino"], "precision": "int8",
            "error": [0.02, -0.04, 0.9, 0.5], "settled": [True, True, False, False],
        }
    )  # fmt: skip
    assert latency.median_error(checks) == {"tflite int8": pytest.approx(0.03)}
