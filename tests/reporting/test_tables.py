import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.reporting import tables, texts, verdict
from pipeline_src.stages import report as stage

SYSTEMS = ["abpn_x3", "small_x3"]
SETS = ["samples_heldout", "Set5"]
MEASURED = Path("results/benchmark")


NONE_PRUNED = pd.DataFrame()


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


def test_headline_is_one_file_of_each_net_and_says_what_is_faster_still(table: pd.DataFrame) -> None:
    mine = tables.headline(table).query("system == 'abpn_x3' and set == 'Set5'")
    assert list(mine[["variant", "runtime", "faster"]].itertuples(index=False, name=None)) == [
        ("fp32", "tflite", "OpenVINO 58.4"), ("ptq", "tflite", "OpenVINO 24.0"), ("qat", "tflite", ""),
    ]  # fmt: skip
    assert "torch" not in set(tables.headline(table)["runtime"])
    assert (tables.headline(table)["variant"] == "bicubic").sum() == 2


def with_cells(variant: str, runtime: str, **cells: object) -> pd.DataFrame:
    """The table where the rows of one kind of file of abpn_x3 have other cells."""

    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        these = (rows["variant"] == variant) & (rows["runtime"] == runtime)
        assert these.any()
        for name, value in cells.items():
            rows[name] = rows[name].astype(object).mask(these, value)
        return rows

    change("abpn_x3", edit)
    return tables.read(MEASURED, SYSTEMS, SETS)


def faster_than(table: pd.DataFrame, variant: str, runtime: str) -> str:
    (text,) = set(table.query(f"system == 'abpn_x3' and variant == '{variant}' and runtime == '{runtime}'")["faster"])
    return str(text)


def test_a_faster_file_that_is_worse_is_no_alternative(repository: Path) -> None:
    table = with_cells("ptq", "openvino", psnr_y=40.0)
    assert faster_than(table, "ptq", "tflite") == "OpenVINO 24.0"
    table = with_cells("ptq", "openvino", psnr_y=20.0)
    assert faster_than(table, "ptq", "tflite") == ""
    assert faster_than(table, "ptq", "onnx") == "TFLite 25.1"


def test_a_file_that_gives_another_image_here_says_so_and_is_no_alternative(repository: Path) -> None:
    table = with_cells("ptq", "openvino", disagrees="gives another image here than at export: up to 55 levels off")
    assert faster_than(table, "ptq", "tflite") == ""
    sentence = "abpn_x3 int8 PTQ OpenVINO ×3 gives another image here than at export: up to 55 levels off"
    assert tables.disagreeing(table) == [sentence]
    assert verdict.agreement(table) == [verdict.Verdict(False, f"{sentence}.")]
    assert "for 1 of 2 nets (small_x3)" in verdict.fastest(table)[0].text
    stage.report()
    page = Path("results/report/index.html").read_text()
    assert page.index(sentence) < page.index("Better than bicubic?")


def test_the_verdict_says_that_all_files_agree_and_which_is_fastest_here(table: pd.DataFrame) -> None:
    assert verdict.agreement(table) == [verdict.Verdict(True, "All 24 files do, within 2 of 255 levels.")]
    assert verdict.fastest(table) == [
        verdict.Verdict(True, "Fastest here is int8 in OpenVINO for 2 of 2 nets (abpn_x3 and small_x3).")
    ]


def test_latency_can_be_compared_across_sizes(repository: Path) -> None:
    def timed_small(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(lr_height=rows["lr_height"] / 2, lr_width=rows["lr_width"] / 4)

    change("small_x3", timed_small)
    table = tables.read(MEASURED, SYSTEMS, SETS)
    large, small = (pick(table, system=s, variant="fp32", runtime="tflite", set="Set5") for s in SYSTEMS)
    assert (large["lr_size"], small["lr_size"]) == ("640×360", "160×180")
    assert large["ms_per_mp"] == pytest.approx(78.2 / (640 * 360 * 9 / 1e6))
    assert small["ms_per_mp"] == pytest.approx(0.4 * 78.2 / (160 * 180 * 9 / 1e6))
    assert verdict.timed(table) == (
        "Medians (p50) on 640×360 LR pixels with 2 threads (abpn_x3) and 160×180 LR pixels with 2 threads (small_x3)."
    )


def test_the_written_tables_agree(table: pd.DataFrame, tmp_path: Path) -> None:
    texts.write(table, NONE_PRUNED, [], tmp_path)
    rows = pd.read_csv(tmp_path / "table.csv")
    assert len(rows) == len(table)
    assert pick(rows, system="small_x3", variant="ptq", runtime="tflite", set="Set5")["gain_db"] == -0.12
    fp32 = pick(rows, system="abpn_x3", variant="fp32", runtime="tflite", set="Set5")
    assert (fp32["psnr_y"], fp32["published_psnr_y"], fp32["difference_db"]) == (31.35, 33.54, -2.19)
    assert fp32["published_source"] == "authors' released weights, measured by us"
    assert rows.query("set == 'samples_heldout'")["published_psnr_y"].isna().all()

    measured, beside = 1 + len(tables.headline(table)), 1 + 4  # lines; abpn_x3's variants and bicubic were published
    markdown = (tmp_path / "table.md").read_text()
    lines = [line.count("|") for line in markdown.splitlines() if line.startswith("|")]
    assert lines == [len(tables.COLUMNS)] * (1 + measured) + [3 + 3 + 1] * (1 + beside), "one table per scale"
    assert "**×3**" in markdown
    assert (
        "| small_x3 | int8 PTQ | TFLite | Set5 | 30.28 | 0.8076 | −0.12 | 0.43 | 4.8 | 10.0 | 10.8 | 640×360 |"
        in markdown
    )
    assert "| abpn_x3 | fp32 | [2] | 31.35 / 0.8290 | 33.54 | −2.19 |" in markdown
    assert "[2] authors' released weights, measured by us" in markdown

    latex = (tmp_path / "table.tex").read_text()
    body = [line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")]
    assert body == [len(tables.COLUMNS) - 2] * measured + [5] * beside
    assert r"small\_x3 & int8 PTQ & TFLite & Set5 & 30.28 & 0.8076 & $-$0.12 &" in latex
    assert r"abpn\_x3 & fp32 & [2] & 31.35 / 0.8290 & 33.54 & $-$2.19 \\" in latex
    assert "×" not in latex


def test_names_are_escaped(repository: Path) -> None:
    name = r"a&b_50%|#{1}$~^\c"
    for system in SYSTEMS:
        change(system, lambda rows: rows.replace({"set": {"Set5": name}}))
    table = tables.read(MEASURED, SYSTEMS, ["samples_heldout", name])
    escaped = r"a\&b\_50\%|\#\{1\}\$\textasciitilde{}\textasciicircum{}\textbackslash{}c"
    assert escaped in texts.latex(table, NONE_PRUNED)
    assert "a&b_50%\\|#" in texts.markdown(table, NONE_PRUNED)


def test_nothing_beside_published_where_nobody_published(table: pd.DataFrame) -> None:
    assert "published" not in texts.markdown(table[table["set"] == "samples_heldout"], NONE_PRUNED)


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
    told = {one.text: one.good for one in verdict.quality(table[table["set"] == "Set5"])}
    assert told == {
        "abpn_x3 ×3 on Set5 beats bicubic (30.40 dB) by 0.95 dB as fp32, by 0.71 dB as int8 PTQ and by 0.89 dB "
        "as int8 QAT.": True,
        "small_x3 ×3 on Set5 beats bicubic (30.40 dB) by 0.31 dB as fp32.": True,
        "small_x3 ×3 on Set5 does not beat bicubic (30.40 dB): it is 0.12 dB behind as int8 PTQ and level with it "
        "as int8 QAT.": False,
    }


def test_the_verdict_has_one_sentence_for_all_sets_of_a_system(repository: Path) -> None:
    def better_on_set5(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "ptq") & (rows["set"] == "Set5"), "psnr_y"] += 0.5
        return rows

    change("small_x3", better_on_set5)
    told = {one.text: one.good for one in verdict.quality(tables.read(MEASURED, SYSTEMS, SETS))}
    assert told == {
        "abpn_x3 ×3 on both sets beats bicubic by 0.95 dB as fp32, by 0.71 dB as int8 PTQ and by 0.89 dB as int8 "
        "QAT.": True,
        "small_x3 ×3 on both sets beats bicubic by 0.31 dB as fp32 and by 0.38 dB as int8 PTQ in 1 of 2 cases.": True,
        "small_x3 ×3 on both sets does not beat bicubic: it is up to 0.12 dB behind (×3, samples_heldout) as int8 PTQ "
        "in 1 of 2 cases and level with it as int8 QAT.": False,
    }


def test_a_speed_up_is_claimed_only_where_the_spreads_are_apart(repository: Path) -> None:
    def spread(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[(rows["variant"] == "qat") & (rows["runtime"] == "tflite"), "iqr_ms"] = 51.0  # gap 53.3, fp32 2.3
        return rows

    change("abpn_x3", spread)
    table = tables.read(MEASURED, SYSTEMS, SETS)
    alone = verdict.speed(table[table["system"] != "small_x3"])
    assert [(one.good, one.text) for one in alone] == [
        (True, "In TFLite, int8 PTQ is faster than fp32: 3.12 times (abpn_x3, 25.1 instead of 78.2 ms)."),
        (False, "In TFLite, int8 QAT is not faster than fp32: within the spread of the timings (abpn_x3)."),
        (True, "In OpenVINO, int8 PTQ is faster than fp32: 2.43 times (abpn_x3, 24.0 instead of 58.4 ms)."),
        (True, "In OpenVINO, int8 QAT is faster than fp32: 1.88 times (abpn_x3, 31.0 instead of 58.4 ms)."),
        (False, "In ONNX, int8 PTQ is not faster than fp32: within the spread of the timings (abpn_x3)."),
        (
            False,
            "In ONNX, int8 QAT is not faster than fp32: it takes 1.18 times as long (abpn_x3, 72.0 instead of 61.0 "
            "ms).",
        ),
    ]
    both = verdict.speed(table)
    assert [(one.good, one.text) for one in both if "TFLite" in one.text and "QAT" in one.text] == [
        (
            True,
            "In TFLite, int8 QAT is faster than fp32 for 1 of 2 nets: 3.14 times (small_x3, 10.0 instead of 31.3 ms).",
        ),
        (
            False,
            "In TFLite, int8 QAT is not faster than fp32 for 1 of 2 nets: within the spread of the timings (abpn_x3).",
        ),
    ]


def test_of_many_nets_the_verdict_names_the_extremes(full_house: Path) -> None:
    from conftest import MANY, MANY_SETS

    table = tables.read(full_house / "results/benchmark", list(MANY), list(MANY_SETS))
    told = {one.text: one.good for one in verdict.speed(table)}
    assert told["In TFLite, int8 PTQ is faster than fp32 for 21 of 21 nets: 2.00 (abpn_x3) to 3.20 times "
                "(edsr_baseline_x4)."]  # fmt: skip
    assert len(told) == 6
    quality = verdict.quality(table)
    assert len(quality) == len(MANY) + 1
    assert [one.text for one in quality if not one.good] == [
        "ecdn_m ×2, ×3 and ×4 on both sets does not beat bicubic: it is up to 0.20 dB behind (×3, samples_heldout) as "
        "int8 PTQ in 2 of 6 cases."
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
    assert x3["p50_ms_per_mp"]["fp32"] == pytest.approx(78.2 / 2.0736, abs=1e-3)
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
