import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.reporting import tables, verdict
from pipeline_src.stages import report as stage

SYSTEMS = ["abpn_x3", "small_x3"]
SETS = ["samples_heldout", "Set5"]
MEASURED = Path("results/benchmark")


@pytest.fixture
def table(repository: Path) -> pd.DataFrame:
    return tables.read(MEASURED, SYSTEMS, SETS)


def pick(table: pd.DataFrame, **where: object) -> pd.Series:
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def change(system: str, edit) -> None:
    path = MEASURED / system / "benchmark.csv"
    rows = pd.read_csv(path)
    edit(rows).to_csv(path, index=False)


def test_one_row_per_measurement_and_one_bicubic_row_per_scale_and_set(table: pd.DataFrame) -> None:
    assert len(table) == 2 * (1 + 2 * 3 * 4)
    assert set(table["system"]) == {"bicubic", *SYSTEMS}, "the folder of a removed system is ignored"
    assert (table["variant"] == "bicubic").sum() == 2
    assert list(dict.fromkeys(table["set"])) == SETS, "sets stand in the order of params.yaml"


def test_gain_is_over_bicubic_and_loss_is_against_fp32_of_the_same_runtime(repository: Path) -> None:
    def onnx_is_worse(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "fp32") & (rows["runtime"] == "onnx"), "psnr_y"] -= 0.4
        return rows

    change("abpn_x3", onnx_is_worse)
    table = tables.read(MEASURED, SYSTEMS, SETS)
    qat = pick(table, system="abpn_x3", variant="qat", runtime="tflite", set="Set5")
    assert qat["gain_db"] == pytest.approx(0.89)
    assert qat["loss_db"] == pytest.approx(0.06)
    assert qat["size_kib"] == 55
    onnx = pick(table, system="abpn_x3", variant="qat", runtime="onnx", set="Set5")
    assert onnx["loss_db"] == pytest.approx(-0.34)


def test_headline_is_tflite_and_whatever_file_is_faster_than_it(table: pd.DataFrame) -> None:
    mine = tables.headline(table).query("system == 'abpn_x3' and set == 'Set5'")
    found = list(mine[["variant", "runtime"]].itertuples(index=False, name=None))
    assert found == [
        ("fp32", "tflite"), ("fp32", "openvino"), ("ptq", "tflite"), ("ptq", "openvino"), ("qat", "tflite"),
    ]  # fmt: skip
    assert "torch" not in set(tables.headline(table)["runtime"])
    assert (tables.headline(table)["variant"] == "bicubic").sum() == 2


def test_published_figures_stand_in_their_own_column_with_their_source(table: pd.DataFrame) -> None:
    fp32 = pick(table, system="abpn_x3", variant="fp32", runtime="tflite", set="Set5")
    assert fp32["published"] == "33.54 (Y); 31.53 (RGB, shave 1)"
    assert fp32["published_source"] == "authors' released weights, measured by us"
    assert fp32["psnr_y"] == pytest.approx(31.35)
    assert pick(table, system="abpn_x3", variant="fp32", runtime="tflite", set="samples_heldout")["published"] == ""


def test_every_published_figure_can_be_shown_and_names_its_source() -> None:
    published = tables.published()
    assert set(published["metric"]) <= set(tables.METRICS)
    assert not published.isna().any().any()
    assert not published.duplicated(["system", "variant", "set", "scale", "metric"]).any()


def test_the_written_tables_agree(table: pd.DataFrame, tmp_path: Path) -> None:
    tables.write(table, tmp_path)
    rows = pd.read_csv(tmp_path / "table.csv")
    assert len(rows) == len(table)
    assert pick(rows, system="small_x3", variant="ptq", runtime="tflite", set="Set5")["gain_db"] == -0.12

    markdown = (tmp_path / "table.md").read_text()
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(tables.headline(table))
    assert {line.count("|") for line in lines} == {len(tables.COLUMNS) + 1}
    assert "| small_x3 | int8 PTQ | TFLite | ×3 | Set5 | 30.28 | 0.8076 | −0.12 |" in markdown
    assert "[1] authors' released weights, measured by us" in markdown

    latex = (tmp_path / "table.tex").read_text()
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + len(tables.headline(table))
    assert all(line.count(" & ") == len(tables.COLUMNS) - 1 for line in body)
    assert r"small\_x3 & int8 PTQ & TFLite & $\times$3 & Set5 & 30.28 & 0.8076 & $-$0.12 &" in latex
    assert "×" not in latex


def test_names_are_escaped(repository: Path) -> None:
    name = r"a&b_50%|#{1}$~^\c"
    for system in SYSTEMS:
        change(system, lambda rows: rows.replace({"set": {"Set5": name}}))
    table = tables.read(MEASURED, SYSTEMS, ["samples_heldout", name])
    escaped = r"a\&b\_50\%|\#\{1\}\$\textasciitilde{}\textasciicircum{}\textbackslash{}c"
    assert escaped in tables.latex(table)
    assert "a&b_50%\\|#" in tables.markdown(table)


def test_no_published_column_where_nobody_published(table: pd.DataFrame) -> None:
    assert "Published" not in tables.markdown(table[table["set"] == "samples_heldout"])


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


def test_the_verdict_says_who_beats_bicubic_and_who_does_not(table: pd.DataFrame) -> None:
    told = {one.text: one.good for one in verdict.quality(table)}
    assert told == {
        f"abpn_x3 ×3 on {name} beats bicubic ({psnr} dB) by 0.95 dB as fp32, by 0.71 dB as int8 PTQ and by 0.89 dB "
        "as int8 QAT.": True
        for name, psnr in (("samples_heldout", "27.31"), ("Set5", "30.40"))
    } | {
        f"small_x3 ×3 on {name} beats bicubic ({psnr} dB) by 0.31 dB as fp32.": True
        for name, psnr in (("samples_heldout", "27.31"), ("Set5", "30.40"))
    } | {
        f"small_x3 ×3 on {name} does not beat bicubic ({psnr} dB): it is 0.12 dB behind as int8 PTQ and level with it "
        "as int8 QAT.": False
        for name, psnr in (("samples_heldout", "27.31"), ("Set5", "30.40"))
    }  # fmt: skip


def test_a_speed_up_is_claimed_only_where_the_spreads_are_apart(repository: Path) -> None:
    def spread(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "qat") & (rows["runtime"] == "tflite"), "iqr_ms"] = 51.0  # gap 53.3, fp32 2.3
        return rows

    change("abpn_x3", spread)
    told = [one for one in verdict.speed(tables.read(MEASURED, SYSTEMS, SETS)) if one.text.startswith("abpn_x3")]
    assert [(one.good, one.text) for one in told] == [
        (True, "abpn_x3 ×3 in TFLite is faster than fp32 (78.2 ms): int8 PTQ (25.1 ms) 3.12 times."),
        (
            False,
            "abpn_x3 ×3 in TFLite is not faster than fp32 (78.2 ms): "
            "int8 QAT (24.9 ms) is within the spread of the timings.",
        ),
        (
            True,
            "abpn_x3 ×3 in OpenVINO is faster than fp32 (58.4 ms): "
            "int8 PTQ (24.0 ms) 2.43 times and int8 QAT (31.0 ms) 1.88 times.",
        ),
        (
            False,
            "abpn_x3 ×3 in ONNX is not faster than fp32 (61.0 ms): "
            "int8 PTQ (59.5 ms) is within the spread of the timings and int8 QAT (72.0 ms) takes 1.18 times as long.",
        ),
    ]


def test_without_timings_nothing_is_claimed(repository: Path) -> None:
    for system in SYSTEMS:
        change(system, lambda rows: rows.assign(p50_ms=float("nan"), iqr_ms=float("nan")))
    table = tables.read(MEASURED, SYSTEMS, SETS)
    assert verdict.speed(table) == []
    assert verdict.timed(table) == "Nothing was timed."
    assert set(tables.headline(table)["runtime"]) == {"", "tflite"}


def test_metrics_hold_the_deployed_files_numbers(table: pd.DataFrame) -> None:
    x3 = stage.metrics(table)["abpn_x3"]["x3"]
    assert x3["Set5"]["psnr_y_bicubic"] == 30.4
    assert x3["Set5"]["psnr_y_qat"] == 31.29
    assert x3["Set5"]["gain_db_ptq"] == 0.71
    assert x3["p50_ms"] == {"fp32": 78.2, "ptq": 25.1, "qat": 24.9}
    assert x3["fp32_p50_over"]["qat"] == pytest.approx(78.2 / 24.9, abs=1e-3)
    assert "NaN" not in json.dumps(stage.metrics(table))


def spoil(edit) -> None:
    path = MEASURED / "small_x3" / "benchmark.csv"
    path.write_text(edit(path.read_text()))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda: (MEASURED / "small_x3/benchmark.csv").unlink(), "small_x3/benchmark.csv does not exist; run"),
        (lambda: spoil(lambda text: ""), "cannot be read"),
        (lambda: spoil(lambda text: text.splitlines()[0] + "\n"), "has no rows; run"),
        (lambda: spoil(lambda text: text.replace("p50_ms", "median")), "lacks the column p50_ms"),
        (lambda: change("small_x3", lambda rows: rows[rows["set"] != "Set5"]), "has no rows for the set Set5"),
        (lambda: spoil(lambda text: text.replace("27.31,", "much,", 1)), "no PSNR or scale in line 2"),
        (lambda: change("small_x3", lambda rows: rows.replace({"psnr_y": {30.4: 30.6}})), "on different images"),
    ],
)  # fmt: skip
def test_a_bad_benchmark_is_one_sentence(repository: Path, damage, says: str) -> None:
    damage()
    with pytest.raises(UserError, match=says):
        tables.read(MEASURED, SYSTEMS, SETS)


def test_a_missing_bicubic_row_is_an_error(repository: Path) -> None:
    for system in SYSTEMS:
        change(system, lambda rows: rows[~((rows["variant"] == "bicubic") & (rows["set"] == "Set5"))])
    with pytest.raises(UserError, match=r"no benchmark\.csv has a bicubic row for Set5 ×3"):
        tables.read(MEASURED, SYSTEMS, SETS)


def test_nothing_to_report_on_is_an_error(repository: Path) -> None:
    with pytest.raises(UserError, match="no system to report on"):
        tables.read(MEASURED, [], SETS)


def test_a_failed_report_leaves_no_half_written_file(repository: Path) -> None:
    (MEASURED / "small_x3" / "machine.json").write_text("{")
    with pytest.raises(UserError, match=r"small_x3/machine\.json is not valid JSON"):
        stage.report()
    assert not settings.results("report").exists()
