"""The report's section with image crops."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.reporting.sections.crops import Crop, _layers, find_crops


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
    assert [layer.name for layer in _layers(crop)] == ["hr", "bicubic", "net-fp32", "net-ptq"]
    (folder / "qat.png").mkdir()
    with pytest.raises(UserError, match=r"qat\.png is a folder, not an image; remove it, and run `dvc repro`"):
        list(_layers(crop))
