"""The table of all measurements."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import MEASURED, SETS, SYSTEMS, change, faster_than, pick, with_cells

from pipeline_src import paths
from pipeline_src.devices.rows import COLUMNS
from pipeline_src.errors import UserError
from pipeline_src.reporting import tables
from pipeline_src.tables import write_table


def test_one_row_per_measurement_and_one_bicubic_row_per_scale_and_set(table: pd.DataFrame) -> None:
    assert len(table) == 2 * (1 + 2 * 3 * 4)
    assert set(table["system"]) == {"bicubic", *SYSTEMS}, "the folder of a removed system is ignored"
    assert (table["variant"] == "bicubic").sum() == 2
    assert list(dict.fromkeys(table["set"])) == list(SETS), "sets are in the order of params.yaml"


def test_gain_is_over_bicubic_and_loss_is_against_fp32_of_the_same_runtime(repository: Path) -> None:
    def onnx_is_worse(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "fp32") & (rows["runtime"] == "onnx"), "psnr_y"] -= 0.4
        return rows

    change("abpn_x3", onnx_is_worse)
    table = tables.read(MEASURED, SYSTEMS, list(SETS))
    qat = pick(table, system="abpn_x3", variant="qat", runtime="tflite", set="Set5")
    assert qat["gain_db"] == pytest.approx(0.89)
    assert qat["loss_db"] == pytest.approx(0.06)
    assert qat["size_kib"] == 55
    onnx = pick(table, system="abpn_x3", variant="qat", runtime="onnx", set="Set5")
    assert onnx["loss_db"] == pytest.approx(-0.34)


def test_headline_is_one_file_of_each_net_and_says_what_is_faster_still(table: pd.DataFrame) -> None:
    mine = tables.headline(table).query("system == 'abpn_x3' and set == 'Set5'")
    assert list(mine[["variant", "runtime", "faster"]].itertuples(index=False, name=None)) == [
        ("fp32", "tflite", "OpenVINO 58.4"), ("ptq", "tflite", "OpenVINO 24.0"), ("qat", "tflite", ""),
    ]  # fmt: skip
    assert "torch" not in set(tables.headline(table)["runtime"])
    assert (tables.headline(table)["variant"] == "bicubic").sum() == 2


def test_a_faster_file_that_is_worse_is_no_alternative(repository: Path) -> None:
    table = with_cells("ptq", "openvino", psnr_y=40.0)
    assert faster_than(table, "ptq", "tflite") == "OpenVINO 24.0"
    table = with_cells("ptq", "openvino", psnr_y=20.0)
    assert faster_than(table, "ptq", "tflite") == ""
    assert faster_than(table, "ptq", "onnx") == "TFLite 25.1"


def test_a_file_is_faster_only_if_both_latencies_have_settled_and_their_intervals_are_apart(repository: Path) -> None:
    assert faster_than(with_cells("ptq", "openvino", p50_high_ms=24.8), "ptq", "tflite") == "", "TFLite from 24.7 on"
    assert faster_than(with_cells("ptq", "openvino", p50_high_ms=24.7), "ptq", "tflite") == "OpenVINO 24.0"
    assert faster_than(with_cells("ptq", "openvino", settled=False), "ptq", "tflite") == ""
    table = with_cells("ptq", "openvino", settled=True)
    assert faster_than(table, "ptq", "tflite") == "OpenVINO 24.0"
    assert faster_than(with_cells("ptq", "tflite", settled=False), "ptq", "tflite") == ""


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("gain_db", -0.001, "+0.00"), ("gain_db", -0.12, "−0.12"), ("loss_db", -0.001, "0.00"),
        ("p50_ms", float("nan"), "–"), ("mult_adds", 4343750656, "4.34"), ("params", 42539, "42,539"),
        ("scale", 3, "×3"), ("runtime", "", "–"), ("variant", "qat", "int8 QAT"), ("variant", "new", "new"),
    ],
)  # fmt: skip
def test_cells(column: str, value: object, shown: str) -> None:
    assert tables.cell(next(c for c in tables.COLUMNS if c.name == column), value) == shown


def spoil(edit) -> None:
    path = MEASURED / "small_x3" / "benchmark.csv"
    path.write_text(edit(path.read_text()))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda: (MEASURED / "small_x3/benchmark.csv").unlink(), "small_x3/benchmark.csv does not exist; run"),
        (lambda: spoil(lambda text: ""), "benchmark.csv is empty; run"),
        (lambda: spoil(lambda text: text.splitlines()[0] + "\n"), "has no rows; run"),
        (lambda: spoil(lambda text: text.replace(",p50_ms", ",median")), "lacks the column p50_ms"),
        (lambda: spoil(lambda text: text.replace(",settled", ",steady")), "lacks the column settled"),
        (lambda: change("small_x3", lambda rows: rows[rows["set"] != "Set5"]), "has no rows for the set Set5"),
        (lambda: spoil(lambda text: text.replace("27.31,", "much,", 1)), "line 2 has 'much' where a number belongs"),
        (lambda: change("small_x3", lambda rows: rows.replace({"psnr_y": {30.4: 30.6}})), "on different images"),
    ],
)  # fmt: skip
def test_a_bad_benchmark_is_one_sentence(repository: Path, damage, says: str) -> None:
    damage()
    with pytest.raises(UserError, match=says):
        tables.read(MEASURED, SYSTEMS, list(SETS))


def test_a_missing_bicubic_row_is_an_error(repository: Path) -> None:
    for system in SYSTEMS:
        change(system, lambda rows: rows[~((rows["variant"] == "bicubic") & (rows["set"] == "Set5"))])
    with pytest.raises(UserError, match=r"no benchmark\.csv has a bicubic row for Set5 ×3"):
        tables.read(MEASURED, SYSTEMS, list(SETS))


def test_nothing_to_report_on_is_an_error(repository: Path) -> None:
    with pytest.raises(UserError, match="no system to report on"):
        tables.read(MEASURED, [], list(SETS))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("scale", 7, "wrong scale"), ("variant", "qat8", "wrong variant"), ("p50_ms", -1.0, "wrong p50_ms")],
)
def test_rows_that_no_benchmark_writes_are_refused(repository: Path, column: str, value: object, said: str) -> None:
    file = repository / "results/benchmark" / SYSTEMS[0] / "benchmark.csv"
    rows = pd.read_csv(file)
    rows[column] = rows[column].astype(object)
    rows.loc[3, column] = value
    rows.to_csv(file, index=False)
    with pytest.raises(UserError, match=rf"benchmark\.csv has a {said} in line 5; "):
        tables.read(MEASURED, SYSTEMS, list(SETS))


def test_a_row_that_is_there_twice_is_refused(repository: Path) -> None:
    file = repository / "results/benchmark" / SYSTEMS[0] / "benchmark.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[3]]) + "\n")
    with pytest.raises(UserError, match=rf"wrong line, which is there twice in line {len(lines) + 1}; "):
        tables.read(MEASURED, SYSTEMS, list(SETS))


def with_device(**changes: Any) -> pd.DataFrame:
    """Return the table after a device has measured abpn_x3, twice as slow in TFLite, and in a delegate of it."""
    path = MEASURED / "abpn_x3" / "benchmark.csv"
    here = pd.read_csv(path).assign(sha256="f0")
    here.to_csv(path, index=False)
    rows = []
    for _, row in here[here["runtime"] == "tflite"].drop_duplicates("variant").iterrows():
        for runtime, times in (("tflite", 2.0), ("tflite_gpu", 4.0)):
            ms = {name: times * row[name] for name in COLUMNS if name.endswith("_ms") and name in row}
            about = {"system": "abpn_x3", "variant": row["variant"], "scale": 3, "format": "tflite", "file": "a.tflite"}
            of_device = {
                "runtime": runtime,
                "sha256": "f0",
                "threads": 4,
                "lr_height": 360,
                "lr_width": 640,
                "runs": 50,
            }
            settled = {"settled": True, "infer_settled": True, "compared": True}
            rows.append(dict.fromkeys(COLUMNS, "") | about | of_device | settled | ms | changes)
    paths.measured("pi").mkdir(parents=True, exist_ok=True)
    write_table(paths.measured("pi") / "measure.csv", rows, [*COLUMNS])
    return tables.read(MEASURED, SYSTEMS, list(SETS), ["pi"])


def test_rows_of_a_device_have_its_latency_and_the_quality_of_this_machine(repository: Path) -> None:
    table = with_device()
    key = {"system": "abpn_x3", "variant": "qat", "set": "Set5"}
    here, there = (pick(table, **key, runtime="tflite", device=device) for device in ("here", "pi"))
    assert there["p50_ms"] == 2 * here["p50_ms"]
    assert there["threads"] == 4
    assert (there["psnr_y"], there["gain_db"], there["loss_db"]) == (here["psnr_y"], here["gain_db"], here["loss_db"])
    assert {*table.loc[table["variant"] == "bicubic", "device"]} == {"here"}
    assert {*tables.deployed(table)["device"]} == {"here"}
    runtimes = table[(table["system"] == "abpn_x3") & (table["device"] == "pi")]["runtime"]
    assert [*dict.fromkeys(runtimes)] == ["tflite", "tflite_gpu"]


def test_latencies_are_compared_within_one_device(repository: Path) -> None:
    table = with_device().query("system == 'abpn_x3' and set == 'Set5' and variant == 'qat'")
    faster = {(row["device"], row["runtime"]): row["faster"] for _, row in table.iterrows()}
    assert faster["pi", "tflite"] == ""  # files here are faster, in other runtimes
    assert faster["pi", "tflite_gpu"].startswith("TFLite 49.8")
    assert faster["here", "onnx"].startswith("TFLite 24.9")


def test_a_device_that_has_measured_another_file_is_told(repository: Path) -> None:
    with pytest.raises(
        UserError, match=r"device pi has measured another a\.tflite of abpn_x3 than the stage benchmark; r"
    ):
        with_device(sha256="f1")


def test_files_that_fail_on_a_device_are_listed(repository: Path) -> None:
    table = with_device(fails="onnxruntime is not installed there")
    assert "pi" not in {*table["device"]}
    failing = tables.failing(MEASURED, SYSTEMS, ["pi"])
    assert {*failing["device"]} == {"pi"}
    assert len(failing) == 6
