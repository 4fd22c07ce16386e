"""``index.html``: the report as one file that needs no network, no server and no other file."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.files import whole_file
from pipeline_src.reporting import tables
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import DARK, LIGHT
from pipeline_src.reporting.section import Section

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def write(path: Path, data: ReportData, sections: Sequence[Section], figures: Path) -> None:
    """Write the page.

    The Content-Security-Policy allows only what is in the file: the browser refuses everything else, and with it all
    network access.

    Args:
        path: the file to write.
        data: names the nets and sets in the introduction.
        sections: the content, in the order of the page.
        figures: the folder with the figures of the sections, see :meth:`Section.draw`.
    """
    from markupsafe import Markup

    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    html = (
        _environment()
        .get_template("page.html")
        .render(
            title=data.params.report.title,
            policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'",
            style=Markup(style),  # noqa: S704  our own file, as is the script
            script=Markup(script),  # noqa: S704
            nets=list(dict.fromkeys(tables.deployed(data.table)["system"])),
            sets=list(dict.fromkeys(data.table["set"])),
            sections=sections,
            pictures=figures,
        )
    )
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


def _environment() -> "Environment":
    """Return the templates, which escape every value that is not Markup and refuse unknown names."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.globals.update(LIGHT=LIGHT, DARK=DARK)
    return environment


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_uri(picture: Path) -> str:
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[picture.suffix]
    return f"data:{kind};base64," + base64.b64encode(picture.read_bytes()).decode()
