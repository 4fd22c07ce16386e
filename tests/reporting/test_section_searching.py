"""The report's section on the search among the subnets of a once-for-all net."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_results import ROOT, enter, section_of

from pipeline_src.errors import UserError
from pipeline_src.reporting.sections import searching
from pipeline_src.stages.report import report

SUBNETS = [  # asked for by, two widths, dB, ms; the fourth is not Pareto-optimal, the last was extracted
    ("random", 16, 16, 0.1, 10.0),
    ("random", 16, 32, 0.2, 12.0),
    ("search", 32, 16, 0.3, 15.0),
    ("random", 32, 32, 0.25, 20.0),
    ("half", 32, 0, 0.05, 14.0),
]


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """The original with a supernet, whose one subnet has the measurements of another system."""
    root = tmp_path / "root"
    shutil.copytree(original, root)
    params = yaml.safe_load((root / "params.yaml").read_text())
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["systems"]["supernet"] = shipped["systems"]["ofa_sr"] | {"scales": [3]}
    budgets = {"half": {"scale": 3, "share": 0.5}}
    params["search"] = {"supernet": shipped["search"]["ofa_sr"] | {"scales": [3], "nets": budgets}}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    results = root / "results"
    shutil.copytree(results / "quantize/small_x3", results / "quantize/supernet")
    shutil.copytree(results / "benchmark/small_x3", results / "benchmark/supernet/half")
    rows = pd.read_csv(results / "benchmark/supernet/half/benchmark.csv")
    rows.assign(system="supernet/half").to_csv(results / "benchmark/supernet/half/benchmark.csv", index=False)
    write_search(results / "nets/supernet/search")
    return root


def write_search(folder: Path) -> None:
    """Write what the stage search writes."""
    rows = [
        {
            "by": by, "seed": 1, "scale": 3, "width1": first, "width2": second, "over_bicubic": gain,
            "ms_tflite_int8": ms, "ms_openvino_int8": 2 * ms, "mult_adds": 1.5e9, "parameters": 20000,
            "memory_mb_int8": 3.5, "net": "half" if by == "half" else "", "front": by != "half" and ms < 20,
        }
        for by, first, second, gain, ms in SUBNETS
    ]  # fmt: skip
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "subnets.csv", index=False)
    metrics = {
        "latency_error": {"tflite int8": 0.031, "openvino int8": 0.086},
        "kendall_tau_x3": [0.9, 0.85],
        "hypervolume_x3": [10.5, 9.9],
        "random_hypervolume_x3": [10.0, 10.0],
        "subnets_x3": 19500,
        "seconds_a_subnet_x3": 0.03,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))


def test_searches_and_pareto_front(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    searches, subnets = searching.read(["supernet"])
    (row,) = searches.to_dict("records")
    assert (row["subnets"], row["measured"], row["tau"]) == ("19,500", 5, "0.90, 0.85")
    assert row["gained"] == "+5.0 %, -1.0 %"
    assert row["latency"] == "TFLite int8 3.1 %, OpenVINO int8 8.6 %"
    front = searching.pareto_and_extracted(subnets)
    assert list(front["ms"]) == [10, 12, 14, 15]
    assert list(front["net"]) == ["", "", "half", ""]
    assert list(front["genes"]) == ["width1 16 width2 16", "width1 16 width2 32", "width1 32", "width1 32 width2 16"]
    words = searching.describe(subnets)
    assert "TFLite int8 latency of 5 subnets of supernet ×3" in words
    assert "10.0 ms, +0.10 dB; 12.0 ms, +0.20 dB; half: 14.0 ms, +0.05 dB; 15.0 ms, +0.30 dB." in words


def test_the_page_shows_it_where_there_was_a_search(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(root, monkeypatch)
    report()
    page = (root / "results/report/index.html").read_text()
    section = section_of(page, "search")
    assert re.findall(r"<td[^>]*>([^<]+)</td>", section)[:4] == ["×3", "19,500", "5", "0.90, 0.85"]
    assert "The 4 subnets that are Pareto-optimal or were extracted" in section
    assert section.count('<img class="light"') == 1
    assert (root / "results/report/figures/search_supernet_x3_dark.svg").stat().st_size > 10_000
    assert "supernet/half" in section_of(page, "table")


def test_elsewhere_there_is_none(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(original, tmp_path / "root")
    enter(tmp_path / "root", monkeypatch)
    report()
    assert 'id="search"' not in (tmp_path / "root/results/report/index.html").read_text()


def test_a_missing_file_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(
        UserError, match=r"nothing/search/subnets\.csv does not exist; run `python -m .*search nothing`"
    ):
        searching.read(["nothing"])


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("subnets.csv", ",net,", ",name,", r"subnets\.csv lacks the column net; run `python -m .*\.search supernet`"),
        ("subnets.csv", "ms_", "p50_", r"subnets\.csv lacks the column ms_<device>; run"),
        ("subnets.csv", ",12.0,", ",fast,", r"line 3 has 'fast' where a number belongs; run"),
        ("metrics.json", '"subnets_x3"', '"subnets_x2"', r"metrics\.json is damaged: subnets_x3: Field required; run"),
        ("metrics.json", "10.5", '"much"', r"damaged: hypervolume_x3\.0: Input should be a valid number; run"),
        ("metrics.json", '"latency_error"', '"error"', "damaged: latency_error: Field required; run"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, sentence: str
) -> None:
    monkeypatch.chdir(root)
    path = Path("results/nets/supernet/search") / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=sentence):
        searching.read(["supernet"])
