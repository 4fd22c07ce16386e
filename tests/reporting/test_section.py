"""Adding a section to the report: a module with ``build``, and an entry in ``SECTIONS``."""

from pathlib import Path

import pandas as pd
import pytest
from made_results import section_of

from pipeline_src.reporting import section, sections
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, save
from pipeline_src.reporting.tables import Column
from pipeline_src.stages.report import report

COLUMNS = [Column("system", "System"), Column("energy", "Energy (mJ)", "{:.1f}")]


def build(data: ReportData) -> section.Section:
    """Return a section with blocks of every kind that needs no template."""
    rows = pd.DataFrame({"system": data.nets, "energy": [2.25, 1.5], "set": "Set5"})
    return section.Section(
        "energy",
        "Energy per <image>",
        "Energy",
        [
            section.Text("Measured & invented."),
            section.Questions(
                [section.Question("Which needs less?", [section.Finding(True, "small_x3.")], [], "By the meter.")]
            ),
            section.table("Energy", COLUMNS, rows),
            section.figure_per_set("energy", rows, draw, lambda rows: f"Energy of {len(rows)} systems."),
            section.Details("More", [section.Text("There is no more.", "note")]),
        ],
        lead="What it takes.",
        folded=True,
    )


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    with drawing(theme, 4, 2) as figure:
        figure.subplots().bar(rows["system"], rows["energy"], color=theme.series[0])
        return save(figure, path)


def test_a_new_section_is_one_function_and_one_entry(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", [*sections.SECTIONS, build])
    report()
    page = Path("results/report/index.html").read_text()
    html = section_of(page, "energy")
    assert '<a href="#energy">Energy</a>' in page
    assert '<summary><h2>Energy per &lt;image&gt;</h2> <span class="lead">What it takes.</span></summary>' in html
    assert "<p>Measured &amp; invented.</p>" in html
    assert html.index("Which needs less?") < html.index("small_x3.") < html.index("By the meter.")
    assert '<tr><th scope="row">abpn_x3</th><td class="number">2.2</td></tr>' in html
    assert 'alt="Energy of 2 systems."' in html
    assert '<p class="note">There is no more.</p>' in html
    for theme in ("light", "dark"):
        assert Path(f"results/report/figures/energy_Set5_{theme}.svg").stat().st_size > 1000


def test_every_id_is_there_once_and_a_section_with_nothing_to_show_is_left_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SECTIONS", [*sections.SECTIONS, lambda data: None])
    report()
    page = Path("results/report/index.html").read_text()
    for absent in ("pruning", "downscaled", "search", "threads", "devices"):
        assert f'href="#{absent}"' not in page
        assert f'id="{absent}"' not in page
    for name in ("budget", "verdict", "table", "published", "waterfall", "operators", "crops", "provenance"):
        assert page.count(f'id="{name}"') == page.count(f'<a href="#{name}">') == 1
