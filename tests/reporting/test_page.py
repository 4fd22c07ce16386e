"""The page as readers see it: a file opened in a real browser, without a network."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from made_results import column

from pipeline_src import paths
from pipeline_src.errors import UserError

STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def test_the_stage_writes_all_it_promises(site: Path) -> None:
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert found == {
        "index.html", "metrics.json", "overview.png", "table.csv", "table.md", "table.tex",
        *(f"figures/waterfall_{of}_{theme}.svg" for of in ("samples_heldout", "Set5") for theme in ("light", "dark")),
        "figures/operators_light.svg", "figures/operators_dark.svg",
    }  # fmt: skip


def test_the_file_names_nothing_outside_itself(site: Path) -> None:
    html = re.sub(r"<script.*?</script>", "", (site / "index.html").read_text(), flags=re.DOTALL)
    links = re.findall(r"""(?:src|srcset|href|action)=["']?([^"'\s>]{1,40})""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "@import" not in html
    assert "url(" not in html


def test_the_reader_finds_verdict_table_and_provenance(opened: Any) -> None:
    text = opened.locator("body").text_content()
    assert "small_x3 ×3 on both sets does not beat bicubic: it is up to 0.12 dB behind" in text
    assert "In TFLite, int8 QAT is faster than fp32 for 2 of 2 nets: 3.14 times." in text
    assert "authors' released weights, measured by us" in text
    assert "Model <9> & Co @ 2.10GHz" in text
    assert "onnxruntime 1.23.0" in text
    assert "2026-01-02T03:04:05+00:00" in text
    assert "gone_x3" not in text
    assert opened.locator("footer pre").text_content() == Path("params.yaml").read_text()
    assert opened.locator("h1").count() == 1
    assert opened.title() == opened.locator("h1").inner_text()


def test_every_image_is_there_and_described(opened: Any) -> None:
    figures = 2 * 2 + 2
    assert opened.locator("img").count() == figures + 4 + 2, (
        "two sets and the operators in two themes; crops; two sides"
    )
    assert opened.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert opened.locator("img:not([alt])").count() == 0
    assert opened.locator(".pictures img[alt='']").count() == opened.locator("img[alt='']").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_it_is_accessible(site: Path, browser: Any, width: int, scheme: str) -> None:
    with looked_at(browser, site / "index.html", width, scheme) as tab:
        found = Axe().run(tab, options=STANDARD)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_a_large_page_fits_the_screen_and_its_theme(large: Path, browser: Any, width: int, scheme: str) -> None:
    with looked_at(browser, large, width, scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        for theme in ("light", "dark"):
            assert tab.locator(f".picture .{theme}").first.is_visible() == (theme == scheme)
        for place in ("#plot svg", "#answer", "#measurements thead", "#stages"):
            assert tab.locator(place).is_visible()


@contextmanager
def looked_at(browser: Any, page: Path, width: int, scheme: str) -> Iterator[Any]:
    """The page with all its sections unfolded; the test fails if it logged anything or raised."""
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
    tab.goto(page.as_uri())
    tab.wait_for_selector("#plot svg")
    tab.evaluate("document.querySelectorAll('details:not(.columns)').forEach(fold => fold.open = true)")
    yield tab
    tab.close()
    assert problems == []


def test_a_large_page_is_not_too_large(large: Path) -> None:
    assert large.stat().st_size < 15 * 2**20


def test_on_paper_both_images_show_and_no_control(opened: Any) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.locator(".layer img:visible").count() == 2
    assert opened.locator("#plot svg").is_visible()
    assert opened.locator("button:visible:not(thead button)").count() == 0
    assert opened.locator("select:visible, input:visible, nav:visible").count() == 0
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(28, 36, 48)", "ink on paper in a dark theme"


def test_the_policy_refuses_what_is_not_ours(site: Path, browser: Any) -> None:
    tab = browser.new_page()
    answered: list[str] = []
    refused: list[str] = []
    tab.on("response", lambda response: answered.append(response.url))
    tab.on("requestfailed", lambda request: refused.append(f"{request.url} {request.failure}"))
    tab.goto((site / "index.html").as_uri())
    blocked = tab.evaluate(
        """async () => {
            const image = new Image();
            const refused = new Promise(resolve => document.addEventListener(
                "securitypolicyviolation", event => resolve(event.effectiveDirective), {once: true}));
            image.src = "https://example.invalid/pixel.png";
            return [await refused, await fetch("https://example.invalid/").catch(error => error.name)];
        }"""
    )
    tab.close()
    assert blocked == ["img-src", "TypeError"]
    assert all(url.startswith(("file:", "data:")) for url in answered)
    assert refused == ["https://example.invalid/pixel.png csp"]


@pytest.mark.parametrize("width", [1400, 420])
def test_a_crowd_stays_readable(crowded: Path, browser: Any, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 1000})
    tab.goto(crowded.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.locator("#count").inner_text() == "222 of 654 rows"
    assert tab.locator("#measurements tbody tr").count() == 100
    inside, all_of_it = tab.locator("#table .scroll").evaluate("box => [box.clientWidth, box.scrollWidth]")
    assert all_of_it == inside or width == 420, "on a desktop every column is in sight"
    assert tab.locator("#table .scroll").bounding_box()["height"] <= 850, "the rest of the page is not far away"
    tab.locator("#published > details > summary").click()
    assert tab.locator("#published h3").all_inner_texts() == ["×2", "×3", "×4"]
    assert tab.locator("#published table.beside tbody tr").count() == 11 + 14 + 11

    tab.locator("[data-key=scale]").select_option("×3")
    tab.locator("[data-key=variant]").select_option("int8 QAT")
    tab.locator("[data-key=set]").select_option("Set5")
    assert tab.locator("#count").inner_text() == "13 of 654 rows"
    assert set(column(tab, "System")) == {
        "bicubic", "abpn_x3", "vdsr", "carn", "carn_m", "ecdn", "ecdn_m", "edsr_baseline_x3",
        *(f"vdsr/{name}" for name in ("l1_25", "l1_50", "l1_90", "fpgm_50", "level_50"))
    }  # fmt: skip
    tab.close()


def test_a_link_to_what_is_folded_unfolds_it(opened: Any) -> None:
    assert not opened.locator("#operators table").is_visible()
    opened.get_by_role("link", name="Operators").click()
    assert opened.locator("#operators table").is_visible()


def test_a_failed_report_leaves_no_half_written_file(repository: Path) -> None:
    from pipeline_src.stages.report import report

    Path("results/benchmark/small_x3/machine.json").write_text("{")
    with pytest.raises(UserError, match=r"small_x3/machine\.json is not valid JSON"):
        report()
    assert not paths.results("report").exists()
