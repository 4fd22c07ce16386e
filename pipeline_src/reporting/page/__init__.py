"""``index.html``: the report as one file that needs no network, no server and no other file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.files import whole_file
from pipeline_src.reporting import selection
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import DARK, LIGHT
from pipeline_src.reporting.page.embedding import content_hash, data_uri, json_for_scripts, vega
from pipeline_src.reporting.section import Section

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
REPORTING = HERE.parent  # sections have templates too
# in the order in which they stand in the page: functions first, and what starts them last
SCRIPTS = ("shared", "choose", "crops", "plot_spec", "plot", "answer", "budget", "table", "start")
STYLES = ("base", "budget", "table", "crops", "print")


def write(path: Path, data: ReportData, sections: Sequence[Section], figures: Path) -> None:
    """Write the page.

    The Content-Security-Policy allows only what is in the file: the browser refuses everything else, and with it all
    network access. Nor does it allow a script to evaluate text, which Vega does without.

    Args:
        path: the file to write.
        data: names the page.
        sections: the content, in the order of the page.
        figures: the folder with the figures of the sections, see :meth:`Section.draw`.
    """
    from markupsafe import Markup

    style, script = _joined(STYLES, "css"), _joined(SCRIPTS, "js")
    scripts = [vega(), script] if any(section.id == "budget" for section in sections) else [script]
    policy = (
        f"default-src 'none'; img-src data:; style-src {content_hash(style)}; "
        f"script-src {' '.join(map(content_hash, scripts))}; base-uri 'none'; form-action 'none'"
    )
    html = (
        _environment()
        .get_template("page/page.html")
        .render(
            title=data.params.report.title,
            policy=policy,
            style=Markup(style),  # noqa: S704  our own files, as the last script is
            scripts=[Markup(text) for text in scripts],  # noqa: S704
            sections=sections,
            pictures=figures,
            note=selection.note(data),
        )
    )
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


def _joined(names: Sequence[str], suffix: str) -> str:
    return "\n".join((HERE / f"{name}.{suffix}").read_text(encoding="utf-8") for name in names)


def _environment() -> "Environment":
    """Return the templates, which escape every value that is not Markup and refuse unknown names."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(REPORTING),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=data_uri, json=json_for_scripts)
    environment.globals.update(LIGHT=LIGHT, DARK=DARK)
    return environment
