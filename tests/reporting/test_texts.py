"""The tables as CSV, Markdown and LaTeX."""

import json
from pathlib import Path

import pandas as pd
from made_results import MEASURED, SYSTEMS, change, pick, with_cells

from pipeline_src import config, paths
from pipeline_src.reporting import tables, texts
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Text
from pipeline_src.reporting.sections import measurements


def test_the_written_tables_agree(table: pd.DataFrame, tmp_path: Path) -> None:
    texts.write(ReportData(config.load(), table), tmp_path)
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
        "| small_x3 | int8 PTQ | TFLite | Set5 | 30.28 | 0.8076 | −0.12 | 0.43 | 4.8 ±0.1 | 10.0 ±0.2 "
        "| 10.8 | 50 | 640×360 |" in markdown
    )
    assert "| abpn_x3 | fp32 | [2] | 31.35 / 0.8290 | 33.54 | −2.19 |" in markdown
    assert "[2] authors' released weights, measured by us" in markdown

    latex = (tmp_path / "table.tex").read_text()
    body = [line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")]
    assert body == [len(tables.COLUMNS) - 2] * measured + [5] * beside
    assert r"small\_x3 & int8 PTQ & TFLite & Set5 & 30.28 & 0.8076 & $-$0.12 & 0.43 & 4.8 $\pm$0.1 &" in latex
    assert r"abpn\_x3 & fp32 & [2] & 31.35 / 0.8290 & 33.54 & $-$2.19 \\" in latex
    assert "×" not in latex
    assert "±" not in latex


def test_csv_has_the_runs_and_the_intervals_of_every_latency(repository: Path, tmp_path: Path) -> None:
    table = with_cells("ptq", "tflite", settled=False, runs=3, p50_low_ms=None, p50_high_ms=None)
    data = ReportData(config.load(), table)
    texts.write(data, tmp_path)
    rows = pd.read_csv(tmp_path / "table.csv")
    columns = list(rows)
    start = columns.index("p50_ms")
    assert columns[start : start + 14] == [
        "p50_ms", "p50_low_ms", "p50_high_ms", "settled",
        "infer_p50_ms", "infer_p50_low_ms", "infer_p50_high_ms", "infer_settled",
        "p90_ms", "iqr_ms", "runs", "lr_height", "lr_width", "threads",
    ]  # fmt: skip
    steady = pick(rows, system="abpn_x3", variant="qat", runtime="tflite", set="Set5")
    assert (steady["p50_low_ms"], steady["p50_ms"], steady["p50_high_ms"]) == (24.526, 24.9, 25.273)
    assert (steady["infer_p50_ms"], steady["runs"], str(steady["settled"])) == (22.41, 50, "True")
    unsettled = pick(rows, system="abpn_x3", variant="ptq", runtime="tflite", set="Set5")
    assert (unsettled["runs"], str(unsettled["settled"])) == (3, "False")
    assert rows.loc[rows["variant"] == "bicubic", ["runs", "settled", "p50_ms"]].isna().all(axis=None)
    assert "| +0.71 | 0.24 | 12.1 (3 runs) | 25.1 (3 runs) | 27.1 (3 runs) | 3 |" in texts.markdown(data)


def test_names_are_escaped(repository: Path) -> None:
    name = r"a&b_50%|#{1}$~^\c"
    for system in SYSTEMS:
        change(system, lambda rows: rows.replace({"set": {"Set5": name}}))
    data = ReportData(config.load(), tables.read(MEASURED, SYSTEMS, ["samples_heldout", name]))
    escaped = r"a\&b\_50\%|\#\{1\}\$\textasciitilde{}\textasciicircum{}\textbackslash{}c"
    assert escaped in texts.latex(data)
    assert "a&b_50%\\|#" in texts.markdown(data)


def test_nothing_beside_published_where_nobody_published(table: pd.DataFrame) -> None:
    data = ReportData(config.load(), table[table["set"] == "samples_heldout"])
    assert "published" not in texts.markdown(data)


def test_tables_of_several_machines_say_so(repository: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    texts.write(ReportData(config.load(), table), tmp_path)
    assert "different machines" not in (tmp_path / "table.md").read_text()
    machine = paths.results("benchmark", "small_x3") / "machine.json"
    machine.write_text(json.dumps(json.loads(machine.read_text()) | {"cpu": "another_CPU"}))
    texts.write(ReportData(config.load(), table), tmp_path)
    sentence = "do not compare latencies between them: abpn_x3 on "
    assert sentence in (tmp_path / "table.md").read_text()
    assert "small\\_x3 on another\\_CPU" in (tmp_path / "table.tex").read_text()
    rows = pd.read_csv(tmp_path / "table.csv")
    assert {*rows.loc[rows["system"] == "small_x3", "cpu"]} == {"another_CPU"}
    assert "another_CPU" not in {*rows.loc[rows["system"] == "abpn_x3", "cpu"]}
    (warning,) = [
        block
        for block in measurements.build(ReportData(config.load(), table)).blocks
        if isinstance(block, Text) and sentence in block.text
    ]
    assert warning.style == "warning"
