"""The page as a reader gets it: a file opened in a real browser, without a network."""

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.reporting import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (on Debian: apt install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(site: Path, browser: Any) -> Iterator[Any]:
    """The page on a desktop; the test fails if the page logged anything, raised, or asked for anything outside."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    trouble: list[str] = []
    tab.on("console", lambda message: trouble.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    tab.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else trouble.append(request.url)
    )
    tab.goto((site / "index.html").as_uri())
    yield tab
    tab.close()
    assert trouble == []


def test_the_stage_writes_all_it_promises(site: Path) -> None:
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert found == {
        "index.html", "metrics.json", "overview.png", "table.csv", "table.md", "table.tex",
        *(f"figures/{name}_{of}_{theme}.png" for name in ("pareto", "waterfall") for of in ("samples_heldout", "Set5")
          for theme in ("light", "dark")),
        "figures/nodes_light.png", "figures/nodes_dark.png",
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


def clip(slider: Any) -> str:
    return slider.locator(".layer.left").evaluate("layer => getComputedStyle(layer).clipPath")


def seen(slider: Any) -> np.ndarray:
    """The pixels of the upper third of the stage: no labels, and of the handle only its line."""
    with Image.open(io.BytesIO(slider.locator(".stage").screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(int)[: image.height // 3]


def test_the_pointer_moves_the_divider(opened: Any) -> None:
    slider = opened.locator(".slider").first
    slider.scroll_into_view_if_needed()
    box = slider.locator(".stage").bounding_box()
    clip_before, before = clip(slider), seen(slider)
    y = box["y"] + box["height"] / 3
    opened.mouse.move(box["x"] + 0.5 * box["width"], y)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.8 * box["width"], y, steps=4)
    opened.mouse.up()
    assert clip(slider) != clip_before
    assert float(slider.locator("input").input_value()) == pytest.approx(80, abs=1)
    handle = slider.locator(".handle").bounding_box()
    assert handle["x"] == pytest.approx(box["x"] + 0.8 * box["width"], abs=6)

    changed = np.abs(seen(slider) - before).max(axis=(0, 2)) > 0
    width = len(changed)
    assert not changed[: int(0.48 * width)].any(), "left of both places stands the left image, before and after"
    assert changed[int(0.52 * width) : int(0.78 * width)].mean() > 0.9, "between them the right gave way to the left"
    assert not changed[int(0.82 * width) :].any(), "right of both places stands the right image, before and after"


def test_the_keyboard_moves_the_divider(opened: Any) -> None:
    slider = opened.locator(".slider").nth(1)
    divider = slider.locator("input")
    divider.focus()
    before = clip(slider)
    for _ in range(6):
        opened.keyboard.press("ArrowLeft")
    assert float(divider.input_value()) == 47
    assert clip(slider) != before
    assert divider.get_attribute("aria-valuetext") == "47 % bicubic, rest abpn_x3 int8 QAT"
    opened.keyboard.press("End")
    assert clip(slider) == "inset(0px 0% 0px 0px)"
    assert clip(opened.locator(".slider").first) == before, "the other sliders stay"


def test_both_sides_can_be_chosen(opened: Any) -> None:
    slider = opened.locator(".slider").first
    slider.locator("select[data-side=left]").select_option("hr")
    slider.locator("select[data-side=right]").select_option("bicubic")
    assert slider.locator(".layer.left").get_attribute("data-name") == "hr"
    assert slider.locator(".layer.right").get_attribute("data-name") == "bicubic"
    assert slider.locator(".layer:visible").count() == 2
    split = seen(slider)
    slider.locator("select[data-side=left]").select_option("bicubic")
    assert slider.locator(".layer:visible").count() == 1
    half = split.shape[1] // 2 - 3
    assert np.abs(seen(slider) - split)[:, :half].max() > 0
    assert np.abs(seen(slider) - split)[:, half + 6 :].max() == 0


def column(tab: Any, title: str) -> list[str]:
    titles = tab.locator("#measurements thead th").all_inner_texts()
    place = next(index for index, text in enumerate(titles) if text.startswith(title))
    return tab.locator(f"#measurements tbody tr:not([hidden]) > :nth-child({place + 1})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-").replace(",", "")) for text in texts if text != "–"]


@pytest.mark.parametrize(("title", "first"), [("p50 (ms)", "ascending"), ("Over bicubic", "descending")])
def test_the_table_is_sorted_by_a_click(opened: Any, title: str, first: str) -> None:
    unsorted = numbers(column(opened, title))
    header = opened.get_by_role("button", name=title)
    for direction in (first, {"ascending": "descending", "descending": "ascending"}[first]):
        header.click()
        texts = column(opened, title)
        assert numbers(texts) == sorted(unsorted, reverse=direction == "descending") != unsorted
        assert texts[-2:] == ["–", "–"], "what was not measured comes last either way"
        assert opened.locator(f"#measurements th[aria-sort={direction}]").count() == 1


def test_the_table_is_filtered(opened: Any) -> None:
    assert opened.locator("#count").inner_text() == "14 of 50 rows"
    opened.locator("[data-key=set]").select_option("Set5")
    assert set(column(opened, "Set")) == {"Set5"}
    opened.locator("[data-key=system]").select_option("small_x3")
    assert set(column(opened, "System")) == {"small_x3", "bicubic"}
    assert "torch" not in column(opened, "Runtime")
    opened.get_by_label("every runtime").check()
    assert sorted(column(opened, "Runtime")) == sorted(["–", *["TFLite", "OpenVINO", "ONNX", "torch"] * 3])
    assert opened.locator("#count").inner_text() == "13 of 50 rows"


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


@pytest.fixture(scope="module")
def crowded(full_house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of as many systems and scales as the pipeline can have."""
    from conftest import enter

    from pipeline_src.stages.report import report

    with pytest.MonkeyPatch.context() as monkeypatch:
        root = enter(shutil.copytree(full_house, tmp_path_factory.mktemp("crowded") / "repository"), monkeypatch)
        report()
    return root / "results" / "report" / "index.html"


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


def test_a_crop_compares_all_systems(crowded: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto(crowded.as_uri())
    captions = tab.locator("figcaption").all_inner_texts()
    assert [" ".join(caption.split()) for caption in captions] == [
        "chelsea samples_heldout ×2", "chelsea samples_heldout ×3", "chelsea samples_heldout ×4", "astronaut Set5 ×2",
    ]  # fmt: skip
    choices = tab.locator(".slider").nth(1).locator("select").first.locator("option").all_inner_texts()
    assert choices[:4] == ["HR", "bicubic", "abpn_x3 fp32", "abpn_x3 int8 QAT"]
    assert len(choices) == 2 + 2 * 7
    tab.close()


def test_crops_take_turns_between_sets_and_scales(site: Path) -> None:
    crops = page.find_crops(Path("results/benchmark"), ["abpn_x3", "small_x3"], ["samples_heldout", "Set5"], 3)
    assert [(crop.set, crop.image, crop.scale, list(crop.folders)) for crop in crops] == [
        ("samples_heldout", "chelsea", 3, ["abpn_x3", "small_x3"]),
        ("Set5", "astronaut", 3, ["abpn_x3", "small_x3"]),
        ("samples_heldout", "coffee", 3, ["abpn_x3", "small_x3"]),
    ]


def test_a_set_whose_name_begins_like_another_keeps_its_crops(tmp_path: Path) -> None:
    for name in ("Set5_a_x3", "Set5_more_b_x3"):
        (tmp_path / "net" / "crops" / name).mkdir(parents=True)
        (tmp_path / "net" / "crops" / name / "hr.png").touch()
    crops = page.find_crops(tmp_path, ["net"], ["Set5", "Set5_more"], 9)
    assert [(crop.set, crop.image) for crop in crops] == [("Set5", "a"), ("Set5_more", "b")]


def test_without_crops_there_is_no_section_for_them(repository: Path, browser: Any) -> None:
    from pipeline_src.stages.report import report

    params = repository / "params.yaml"
    params.write_text(params.read_text().replace("crops: 4", "crops: 0"))
    report()
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((repository / "results" / "report" / "index.html").as_uri())
    assert tab.locator("#crops").count() == 0
    tab.close()
    assert errors == []


def test_different_machines_are_told_apart(repository: Path) -> None:
    path = Path("results/benchmark/small_x3/machine.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu": "another"}))
    machines = page.read_machines(Path("results/benchmark"), ["abpn_x3", "small_x3"])
    assert [list(machine.measured) for machine in machines] == [["abpn_x3"], ["small_x3"]]
    assert machines[1].facts["CPU"] == "another"
    path.unlink()
    with pytest.raises(UserError, match=r"small_x3/machine\.json does not exist; run"):
        page.read_machines(Path("results/benchmark"), ["abpn_x3", "small_x3"])
