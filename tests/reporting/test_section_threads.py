"""The report's section on numbers of threads."""

from pathlib import Path

import pandas as pd
from made_results import timing

from pipeline_src.reporting import tables
from pipeline_src.reporting.sections import threads
from pipeline_src.stages.report import report


def test_a_sweep_of_threads_is_a_table_on_the_page(repository: Path) -> None:
    rows = [
        {"system": "abpn_x3", "variant": variant, "runtime": "tflite", "scale": 3, "threads": n}
        | timing(ms / n**0.5, ms, 1.0)
        for variant, ms in (("fp32", 80.0), ("qat", 20.0))
        for n in (1, 4)
    ]
    assert threads.read(Path("results/benchmark"), ["abpn_x3"]).empty
    rows[-1] |= {"runs": 9, "settled": False}
    pd.DataFrame(rows).to_csv("results/benchmark/abpn_x3/threads.csv", index=False)
    pd.DataFrame(columns=list(rows[0])).to_csv("results/benchmark/small_x3/threads.csv", index=False)
    table = threads.read(Path("results/benchmark"), ["abpn_x3", "small_x3"])
    assert [tables.line(row, threads.columns(table)) for _, row in table.iterrows()] == [
        ["abpn_x3", "fp32", "TFLite", "×3", "80.0 ±1.2", "40.0 ±0.6", "2.00"],
        ["abpn_x3", "int8 QAT", "TFLite", "×3", "20.0 ±0.3", "10.0 ±0.2 (9 runs)", "–"],
    ]
    report()
    page = Path("results/report/index.html").read_text()
    assert "p50, 4 threads (ms)" in page
