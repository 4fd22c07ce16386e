"""The site of ``make docs``: built without a warning, complete, and readable without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from shared import ROOT

pytestmark = pytest.mark.slow
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
EXTERNAL = re.compile(r"\s*(https?:)?//")


@pytest.fixture(scope="module")
def docs_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


class Loaded(HTMLParser):
    """Collects the addresses that a page loads, and its inline styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.styles = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values.get(LOADING.get(tag, "")) or ""]
        self.styles += (values.get("style") or "") + "\n"

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.styles += data


def external_in_css(text: str) -> list[str]:
    addresses = re.findall(r"""(?:@import\s+|url\()\s*["']?([^"')\s;]+)""", text)
    return [address for address in addresses if EXTERNAL.match(address)]


@pytest.mark.parametrize("css", ["@import '//a.example/b.css';", "a {background: url(https://a.example/b.png)}"])
def test_external_styles_are_recognised(css: str) -> None:
    assert external_in_css(css)


def test_no_page_loads_anything_external(docs_site: Path) -> None:
    external = []
    for file in docs_site.rglob("*.html"):
        page = Loaded(file.read_text())
        external += [(file.name, address) for address in page.addresses if EXTERNAL.match(address)]
        external += [(file.name, address) for address in external_in_css(page.styles)]
    for file in docs_site.rglob("*.css"):
        external += [(file.name, address) for address in external_in_css(file.read_text())]
    assert external == []


def test_every_module_is_on_a_page_of_the_api(docs_site: Path) -> None:
    pages = "".join(page.read_text() for page in (docs_site / "api").glob("*.html"))
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "pipeline_src").glob("*/[!_]*.py")]
    modules += [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "pipeline_src").glob("[!_]*.py")]
    missing = [".".join(path.parts) for path in modules if f'id="{".".join(path.parts)}' not in pages]
    assert missing == []


@pytest.mark.parametrize("page", ["index.html", "api/training.html"])
def test_a_page_is_shown_without_a_network(docs_site: Path, browser: Any, page: str) -> None:
    tab = browser.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
    tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    tab.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
    )
    tab.goto((docs_site / page).as_uri(), wait_until="networkidle")
    tab.click("input[name=query]")
    tab.keyboard.type("saturation")
    tab.wait_for_selector(".md-search-result__item")
    tab.close()
    assert problems == []
