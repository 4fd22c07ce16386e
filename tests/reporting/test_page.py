"""The page as readers see it: a file opened in a real browser, without a network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import column

from pipeline_src import paths
from pipeline_src.errors import UserError


def test_the_stage_writes_all_it_promises(site: Path) -> None:
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert found == {
        "index.html", "metrics.json", "overview.png", "table.csv", "table.md", "table.tex",
        *(f"figures/{name}_{of}_{theme}.svg" for name in ("pareto", "waterfall") for of in ("samples_heldout", "Set5")
          for theme in ("light", "dark")),
        "figures/operators_light.svg", "figures/operators_dark.svg",
    }  # fmt: skip


def test_the_file_names_nothing_outside_itself(site: Path) -> None:
    html = (site / "index.html").read_text()
    links = re.findall(r"""(?:src|srcset|href|action)=["']?([^"'\s>]{1,40})""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "@import" not in html
    assert "url(" not in html


def test_the_reader_finds_verdict_table_and_provenance(opened: Any) -> None:
    text = opened.locator("body").inner_text()
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
    images = opened.locator("img")
    assert images.count() == 2 * 2 + 1 + 4 * 6, "two figures of two sets, one of all; crops: HR, bicubic, 2 × 2 nets"
    assert opened.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0 && image.alt)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_screen_and_the_text_stands_out(site: Path, browser: Any, scheme: str) -> None:
    tab = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    tab.goto((site / "index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    for name in ("p", ".note", "a", ".verdicts li", ".bad .mark", ".good .mark", "tbody .bicubic td", "summary", "dt"):
        assert contrast(tab, name) >= 4.5, name
    shown = tab.locator(".picture img").first.evaluate("image => image.currentSrc")
    pair = tab.locator(".picture").first.locator("source, img")
    assert shown == pair.nth(0 if scheme == "dark" else 1).get_attribute("srcset" if scheme == "dark" else "src")
    tab.close()


def contrast(tab: Any, selector: str) -> float:
    """The contrast ratio of WCAG 2 between the text of an element and what it stands on."""
    ink, paper = tab.locator(selector).first.evaluate(
        """element => {
            let under = element;
            while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(under).backgroundColor];
        }"""
    )

    def luminance(colour: str) -> float:
        channels = np.array([int(value) for value in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted([luminance(ink), luminance(paper)])
    return (light + 0.05) / (dark + 0.05)


def test_on_paper_every_image_shows_and_no_control(opened: Any) -> None:
    opened.emulate_media(media="print")
    assert opened.locator(".slider").first.locator(".layer:visible").count() == 6
    assert opened.locator("select:visible, input:visible, nav:visible").count() == 0


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
    assert len(tab.locator("#verdict li").all_inner_texts()) < 28
    inside, all_of_it = tab.locator("#table .scroll").evaluate("box => [box.clientWidth, box.scrollWidth]")
    assert all_of_it == inside or width == 420, "on a desktop every column is in sight"
    assert tab.locator("#table .scroll").bounding_box()["height"] <= 850, "the rest of the page is not far away"
    assert tab.locator("#published h3").all_inner_texts() == ["×2", "×3", "×4"]
    assert tab.locator("#published table.beside tbody tr").count() == 11 + 14 + 11

    tab.locator("[data-key=scale]").select_option("3")
    tab.locator("[data-key=variant]").select_option("qat")
    tab.locator("[data-key=set]").select_option("Set5")
    assert tab.locator("#count").inner_text() == "13 of 654 rows"
    assert set(column(tab, "System")) == {
        "bicubic", "abpn_x3", "vdsr", "carn", "carn_m", "ecdn", "ecdn_m", "edsr_baseline_x3",
        *(f"vdsr/{name}" for name in ("l1_25", "l1_50", "l1_90", "fpgm_50", "level_50"))
    }  # fmt: skip
    assert set(column(tab, "LR timed")) == {"–", "640×360", "320×180"}
    tab.close()


def test_a_failed_report_leaves_no_half_written_file(repository: Path) -> None:
    from pipeline_src.stages.report import report

    Path("results/benchmark/small_x3/machine.json").write_text("{")
    with pytest.raises(UserError, match=r"small_x3/machine\.json is not valid JSON"):
        report()
    assert not paths.results("report").exists()
