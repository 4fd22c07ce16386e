"""What the page carries inside itself, so that it needs no other file: images, data for its scripts, and Vega."""

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src import paths
from pipeline_src.files import whole_file

if TYPE_CHECKING:
    from markupsafe import Markup

LICENCE = Path(__file__).with_name("licence.js")
IN_SCRIPTS = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}  # so that no text ends the element


def data_uri(picture: Path) -> str:
    """Return a PNG or SVG as a data: address."""
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[picture.suffix]
    return f"data:{kind};base64," + base64.b64encode(picture.read_bytes()).decode()


def json_for_scripts(value: object) -> "Markup":
    """Return JSON that may stand in a ``script`` element; not-a-number is refused."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(IN_SCRIPTS))  # noqa: S704  nothing in it can end the element


def content_hash(text: str) -> str:
    """Return the source expression of a Content-Security-Policy that allows one inline script or style."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed, which vl-convert brings with it, as one script below their licence.

    vl-convert takes two seconds to put the script together, so the next report finds it in ``.cache``.
    """
    from importlib.metadata import version

    kept = paths.SCRATCH / f"vega-{version('vl-convert-python')}.js"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as temporary:
            temporary.write_text(_bundle(), encoding="utf-8", newline="\n")
    return LICENCE.read_text(encoding="utf-8") + kept.read_text(encoding="utf-8")


def _bundle() -> str:
    """Put the script together.

    Raises:
        OSError: if the system refuses something, such as one more open file.
    """
    from vl_convert import javascript_bundle

    try:
        return str(javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    except BaseException as error:  # a panic of Rust, which is no Exception
        if refused := re.search(r"Os \{ code: (\d+),", str(error)):
            raise OSError(int(refused[1]), os.strerror(int(refused[1]))) from None
        raise
