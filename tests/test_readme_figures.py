"""Figures in README and docs: the result table is that of the committed results, and a command stands beside each."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
from shared import ROOT

from pipeline_src.cli.main import COMMANDS
from pipeline_src.reporting import tables, texts

SCALE = 3
PAGES = [ROOT / "README.md", ROOT / "pipeline_src/pretrained/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# On these pages a figure in the text was measured; on others it may be a setting or a definition.
RESULTS = [
    ROOT / name for name in ("README.md", "pipeline_src/pretrained/README.md", "docs/studies.md", "docs/search.md")
]
RESULTS += [ROOT / "docs/deployment.md"]
COMMAND = re.compile(
    r"(?:^ {4}(?:time )?|`)((?:make|snakemake|dvc|superres|python|torchrun|pytest) [^`\n]*)", re.MULTILINE
)
NUMBER = r"[+−]?\d[\d,]*(?:\.\d+)?"
FIGURE = re.compile(rf"{NUMBER}\s?(?:dB|ms|%|KiB|MB|min|h|s)(?!\w)|\|\s*{NUMBER}\s*(?=\|)")
COLUMNS = {column.title: column for column in tables.COLUMNS}

Row = dict[str, str]  # cells by the titles of the columns


def section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table_in(text: str) -> list[str]:
    """The lines of the first table of measurements."""
    lines = text[text.index("| System |") :].splitlines()
    return lines[: next((index for index, line in enumerate(lines) if not line.startswith("|")), len(lines))]


def printed_rows() -> list[Row]:
    head, _, *body = (line.strip("| ").split(" | ") for line in table_in(section(PAGES[0].read_text(), "The result")))
    return [dict(zip(head, cells, strict=True)) for cells in body]


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """The rows of table.csv at the scale of the README's table."""
    rows = pd.read_csv(ROOT / "results/report/table.csv").fillna({"runtime": ""})
    return rows[rows["scale"] == SCALE]


def row_of(printed: Row, measured: pd.DataFrame, runtime: str = "") -> pd.Series:
    """The measurement of a printed row, or of the same net in another runtime."""
    wanted = printed | ({"Runtime": runtime} if runtime else {})
    same = [
        all(tables.cell(COLUMNS[title], row[COLUMNS[title].name]) == wanted[title] for title in KEY)
        for _, row in measured.iterrows()
    ]
    assert sum(same) == 1, wanted
    return measured[same].iloc[0]


KEY = ("System", "Variant", "Runtime", "Set")
ROWS = printed_rows()


def test_the_table_is_the_one_that_the_report_writes() -> None:
    written = (ROOT / "results/report/table.md").read_text()
    assert table_in(section(PAGES[0].read_text(), "The result")) == table_in(written.split(f"**×{SCALE}**")[1])


def test_the_table_has_every_net_and_variant(measured: pd.DataFrame) -> None:
    names = [COLUMNS[title] for title in ("System", "Variant", "Set")]
    cells = {tuple(tables.cell(column, row[column.name]) for column in names) for _, row in measured.iterrows()}
    assert sorted((row["System"], row["Variant"], row["Set"]) for row in ROWS) == sorted(cells)


def number(cell: str) -> tuple[float, float]:
    """A printed number, and how far a measured one may be from it: half of its last digit."""
    digits = cell.split(" ")[0].replace(",", "").replace("−", "-")
    return float(digits), 0.5 * 10.0 ** -len(digits.partition(".")[2])


@pytest.mark.parametrize("printed", ROWS, ids=lambda row: f"{row['System']} {row['Variant']}")
def test_each_figure_of_the_table_is_that_of_table_csv(printed: Row, measured: pd.DataFrame) -> None:
    row = row_of(printed, measured)
    for title, cell in printed.items():
        column = COLUMNS[title]
        if column.name == "faster":
            if cell != "–":
                runtime, p50 = cell.rsplit(" ", 1)
                assert f"{row_of(printed, measured, runtime)['p50_ms']:.1f}" == p50
        elif column.name == "provenance":
            origin = re.sub(r"pipeline_src/pretrained/|\.safetensors", "", str(row["weights"]))
            assert cell == ("–" if pd.isna(row["weights"]) else f"{origin}, {row['dtype']}")
        elif column.name == "lr_size":
            assert cell == ("–" if pd.isna(row["p50_ms"]) else f"{row['lr_width']:.0f}×{row['lr_height']:.0f}")
        elif not column.number_format or cell == "–":
            assert tables.cell(column, row[column.name]) == cell, title
        else:
            value, tolerance = number(cell)
            unit = 1e9 if column.name == "mult_adds" else 1.0
            rounding = 0.5 * 10.0 ** -texts.CSV_DECIMALS.get(column.name, 9)
            assert abs(row[column.name] / unit - value) <= tolerance + rounding + 1e-9, title


def sections() -> list[tuple[str, str]]:
    """Each section that has figures, in a table or, on pages of results, in the text: its name, and its text."""
    named = []
    for page in PAGES:
        if page.name == "glossary.md":  # its figures are definitions
            continue
        for text in re.split(r"^(?=#+ )", page.read_text(), flags=re.MULTILINE):
            read = text if page in RESULTS else "\n".join(line for line in text.splitlines() if line.startswith("|"))
            if FIGURE.search(read):
                named.append((f"{page.relative_to(ROOT).as_posix()} {text.splitlines()[0]}", text))
    return named


@pytest.mark.parametrize(("name", "text"), [pytest.param(*pair, id=pair[0]) for pair in sections()])
def test_a_section_with_figures_names_a_command(name: str, text: str) -> None:
    assert COMMAND.search(text), f"{name} does not say which command makes its figures"


def test_figures_and_commands_are_recognised() -> None:
    for text in ("0.4 dB", "13 min 15 s", "12%", "| 32.6 |", "| +0.88 | x", "| 42,539 |", "up to 8 % off"):
        assert FIGURE.search(text), text
    for text in ("×3", "| 640×360 |", "3 steps", "| x2 |", "16 of 32", "5 seconds of"):
        assert not FIGURE.search(text), text
    found = COMMAND.findall("    time make report\nby `dvc repro -f x`, and make it\n\n    superres preset list\n")
    assert found == ["make report", "dvc repro -f x", "superres preset list"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_on_a_page_exist(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in COMMAND.findall(page.read_text()):
        match command.split():
            case ["make", target, *_]:
                assert target in targets, command
            case ["superres", subcommand, *_]:
                assert subcommand in COMMANDS, command
            case ["python", "-m", module, *_] if module.startswith("pipeline_src"):
                spec = importlib.util.find_spec(module)
                assert spec, command
                if spec.submodule_search_locations:
                    assert importlib.util.find_spec(f"{module}.__main__"), command
            case ["python", script, *_] if script.endswith(".py"):
                assert (ROOT / script).exists(), command
