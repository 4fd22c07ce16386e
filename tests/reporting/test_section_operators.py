"""The report's section on single operators."""

from pathlib import Path

import pytest
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.reporting import tables
from pipeline_src.reporting.drawing import DARK, LIGHT
from pipeline_src.reporting.sections import operators
from pipeline_src.stages.report import report


def test_a_row_per_operator_in_the_order_they_were_measured(repository: Path) -> None:
    table = operators.read(Path("results/operators/operators.csv"))
    assert list(table["operator"]) == ["3×3 convolution", "ReLU", "bilinear resize ×3"]
    assert [tables.line(row, operators.COLUMNS) for _, row in table.iterrows()] == [
        ["3×3 convolution", "20.50 ±0.3", "6.25 ±0.1", "14.35 ±0.2", "4.38 ±0.1"],
        ["ReLU", "10.25 ±0.2", "3.12 ±0.05", "7.17 ±0.1", "2.19 ±0.03"],
        ["bilinear resize ×3", "6.83 ±0.1", "2.08 ±0.03", "4.78 ±0.1", "–"],
    ]
    assert "OpenVINO int8 (ms) ReLU 2.2, 3×3 convolution 4.4." in operators.describe(table)


def test_the_bars_in_both_themes(repository: Path) -> None:
    table = operators.read(Path("results/operators/operators.csv"))
    for theme in (LIGHT, DARK):
        with Image.open(operators.draw(table, Path(f"{theme.name}.png"), theme)) as image:
            assert image.size[0] > 1000
            assert len(set(image.convert("RGB").resize((99, 99)).getdata())) > 20


def test_it_says_what_to_run_where_nothing_was_measured(repository: Path) -> None:
    Path("results/operators/operators.csv").unlink()
    with pytest.raises(
        UserError, match=r"operators\.csv does not exist; run `python -m pipeline_src\.stages\.operators`"
    ):
        report()


def test_a_table_without_rows_or_cut_short_is_one_sentence(repository: Path) -> None:
    path = Path("results/operators/operators.csv")
    content = path.read_text()
    for damaged, sentence in (
        (
            content.splitlines()[0] + "\n",
            r"operators\.csv has no rows; run `python -m pipeline_src\.stages\.operators`,",
        ),
        (content[: len(content) * 6 // 10], r"operators\.csv is damaged: it ends in the middle of a line; run"),
    ):
        path.write_text(damaged)
        with pytest.raises(UserError, match=sentence):
            operators.read(path)
