"""The report's section with image crops."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.reporting.sections.crops import Crop, Layer, _layers, _within, find_crops

CORNER = 10  # pixels


def test_crops_take_turns_between_sets_and_scales(site: Path) -> None:
    crops = find_crops(Path("results/benchmark"), ["abpn_x3", "small_x3"], ["samples_heldout", "Set5"], 3)
    assert [(crop.set, crop.image, crop.scale, list(crop.folders)) for crop in crops] == [
        ("samples_heldout", "chelsea", 3, ["abpn_x3", "small_x3"]),
        ("Set5", "astronaut", 3, ["abpn_x3", "small_x3"]),
        ("samples_heldout", "coffee", 3, ["abpn_x3", "small_x3"]),
    ]


def test_a_set_whose_name_begins_like_another_keeps_its_crops(tmp_path: Path) -> None:
    for name in ("Set5_a_x3", "Set5_more_b_x3"):
        (tmp_path / "net" / "crops" / name).mkdir(parents=True)
        (tmp_path / "net" / "crops" / name / "hr.png").touch()
    crops = find_crops(tmp_path, ["net"], ["Set5", "Set5_more"], 9)
    assert [(crop.set, crop.image) for crop in crops] == [("Set5", "a"), ("Set5_more", "b")]


def divider(tab: Any) -> Any:
    return tab.locator("#divider")


def clip(tab: Any) -> str:
    return tab.locator(".layer.left").evaluate("layer => getComputedStyle(layer).clipPath")


def seen(tab: Any) -> np.ndarray:
    """The pixels of the upper third of the stage, where the divider is only a line, below its round corners."""
    with Image.open(io.BytesIO(tab.locator(".canvas").screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(int)[CORNER : image.height // 3]


def layers(tab: Any, image: str) -> dict[str, np.ndarray]:
    """The versions of one photograph that the page holds."""
    crops = json.loads(tab.locator("#crops-data").text_content())
    (crop,) = (crop for crop in crops if crop["image"] == image)
    pngs = {layer["label"]: base64.b64decode(layer["src"].partition(",")[2]) for layer in crop["layers"]}
    return {label: np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int) for label, png in pngs.items()}


def test_the_pointer_moves_the_divider(opened: Any) -> None:
    opened.locator("#stages").scroll_into_view_if_needed()
    box = opened.locator(".canvas").bounding_box()
    before = seen(opened)
    y = box["y"] + box["height"] / 3
    opened.mouse.move(box["x"] + 0.5 * box["width"], y)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.8 * box["width"], y, steps=4)
    opened.mouse.up()
    assert float(divider(opened).input_value()) == pytest.approx(80, abs=1)
    handle = opened.locator(".handle").bounding_box()
    assert handle["x"] == pytest.approx(box["x"] + 0.8 * box["width"], abs=6)

    changed = np.abs(seen(opened) - before).max(axis=(0, 2)) > 0
    width = len(changed)
    assert not changed[: int(0.48 * width)].any(), "left of both places stands the left image, before and after"
    assert changed[int(0.52 * width) : int(0.78 * width)].mean() > 0.9, "between them the right gave way to the left"
    assert not changed[int(0.82 * width) :].any(), "right of both places stands the right image, before and after"


def test_the_keyboard_moves_the_divider(opened: Any) -> None:
    divider(opened).focus()
    for _ in range(6):
        opened.keyboard.press("ArrowLeft")
    assert float(divider(opened).input_value()) == 47
    assert divider(opened).evaluate("slider => slider.ariaValueText") == "47 % bicubic, the rest abpn_x3 int8 QAT"
    opened.keyboard.press("End")
    assert clip(opened) == "inset(0px 0% 0px 0px)"


def test_any_two_versions_of_any_photograph_are_compared(opened: Any) -> None:
    opened.get_by_role("button", name="coffee").click()
    opened.locator("#left").select_option(label="HR")
    opened.locator("#right").select_option(label="small_x3 fp32")
    sides = [opened.locator(f"#{side}-image") for side in ("left", "right")]
    assert [side.get_attribute("alt") for side in sides] == ["coffee, HR", "coffee, small_x3 fp32"]
    opened.get_by_role("button", name="rocket").click()
    assert [side.get_attribute("alt") for side in sides] == ["rocket, HR", "rocket, small_x3 fp32"], "the choice stays"
    opened.get_by_label("side by side").check()
    left, right = (side.bounding_box() for side in sides)
    assert left["x"] + left["width"] <= right["x"]
    assert clip(opened) == "none"


def test_the_difference_is_eight_times_that_of_the_pixels(opened: Any) -> None:
    opened.locator("#left").select_option(label="bicubic")
    opened.locator("#right").select_option(label="HR")
    opened.locator("#zoom").select_option("1")
    opened.get_by_label("difference ×8").check()
    shown = seen(opened)
    of_image = layers(opened, "chelsea")
    expected = np.minimum(8 * np.abs(of_image["bicubic"] - of_image["HR"]), 255)[CORNER:][: len(shown)]
    assert np.abs(shown - expected).max() <= 8, "one level of rounding, eight times"
    assert np.abs(shown - expected).mean() < 1 < shown.mean()


def test_the_images_are_enlarged(opened: Any) -> None:
    image = opened.locator("#left-image")
    for zoom in (2, 6):
        opened.locator("#zoom").select_option(str(zoom))
        assert image.bounding_box()["width"] == zoom * 192
    assert opened.evaluate("document.documentElement.scrollWidth") == 1300, "what does not fit is scrolled in its frame"


def test_a_crop_compares_all_systems(crowded: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto(crowded.as_uri())
    pictures = [" ".join(text.split()) for text in tab.locator("#pictures button").all_inner_texts()]
    assert pictures == ["chelsea samples_heldout ×2", "chelsea samples_heldout ×3", "chelsea samples_heldout ×4",
                        "astronaut Set5 ×2"]  # fmt: skip
    tab.locator("#pictures button").nth(1).click()
    choices = tab.locator("#left option").all_inner_texts()
    assert choices[:4] == ["HR", "bicubic", "abpn_x3 fp32", "abpn_x3 int8 QAT"]
    assert len(choices) == 2 + 2 * 7
    tab.close()


def test_a_page_that_cannot_hold_all_images_holds_those_of_the_front(tmp_path: Path) -> None:
    def layer(net: str, size: int) -> Layer:
        (tmp_path / f"{net or 'hr'}.png").write_bytes(bytes(size))
        return Layer(net, "fp32", net, tmp_path / f"{net or 'hr'}.png")

    crops = [[layer("", 10), layer("a", 40), layer("b", 50), layer("c", 20)]]
    assert _within(100, crops, ["b", "a", "c"]) == {"b", "a"}
    assert _within(85, crops, ["b", "a", "c"]) == {"b", "c"}
    assert _within(1000, crops, ["c", "b", "a"]) == {"a", "b", "c"}


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


def test_a_folder_in_the_place_of_a_crop_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "Set5_a_x3"
    for name in ("hr.png", "bicubic.png", "fp32.png", "ptq.png"):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    crop = Crop("Set5", "a", 3, {"net": folder})
    assert [(layer.net, layer.variant) for layer in _layers(crop)] == [
        ("", "hr"), ("", "bicubic"), ("net", "fp32"), ("net", "ptq")
    ]  # fmt: skip
    (folder / "qat.png").mkdir()
    with pytest.raises(UserError, match=r"qat\.png is a folder, not an image; remove it, and run `dvc repro`"):
        list(_layers(crop))


def test_a_crop_that_is_not_whole_is_told(tmp_path: Path) -> None:
    folder, noise = tmp_path / "Set5_a_x3", np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    folder.mkdir()
    for name in ("hr.png", "bicubic.png", "fp32.png"):
        Image.fromarray(noise).save(folder / name)
    crop, whole = Crop("Set5", "a", 3, {"net": folder}), (folder / "fp32.png").read_bytes()
    for content in (b"", bytes(len(whole)), *(whole[:length] for length in range(1, len(whole) - 12, 60))):
        (folder / "fp32.png").write_bytes(content)
        with pytest.raises(UserError, match=r"fp32\.png is damaged or cut short; remove it, and run `dvc repro`"):
            list(_layers(crop))
