"""The first screen of the page: the file that it names is the one that `superres pick` names."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import LARGE_NETS, SETS, change, enter, on_devices, write_page

from pipeline_src import config
from pipeline_src.budgets import Budget, Candidate, candidates, pick
from pipeline_src.errors import UserError
from pipeline_src.reporting import data
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.sections import budget
from pipeline_src.reporting.tables import RUNTIMES, VARIANTS

CASES = 150
READ = """() => ({
    shipped: document.querySelector("#answer .file a")?.getAttribute("href") ?? null,
    neighbours: [...document.querySelectorAll("#answer .neighbours li")].map(line => line.innerText),
    said: document.getElementById("answer").innerText,
})"""
SET = """fields => {
    for (const [id, value] of Object.entries(fields)) document.getElementById(id).value = value;
    document.getElementById("budget-form").dispatchEvent(new Event("input"));
}"""


@pytest.fixture(scope="module")
def shuffled(full_house: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """Many systems on two devices, with random latencies and qualities that are often level, some of them unsettled."""
    chance = random.Random(7)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(full_house, monkeypatch)
        measured = on_devices(data.read(config.load(), ""), {"here": 1.0, "pi": 3.0})
    table, key = measured.table, ["device", "system", "variant", "runtime", "scale"]
    for _, files in table[table["variant"] != "bicubic"].groupby(key):
        table.loc[files.index, "p50_ms"] = chance.randrange(1, 12) / 2
        table.loc[files.index, "settled"] = chance.random() < 0.85
        table.loc[files.index, "disagrees"] = "gives another image here" if chance.random() < 0.05 else ""
        table.loc[files.index, "file_bytes"] = 1024 * chance.choice([20, 50, 300])
        for index in files.index:
            table.loc[index, "psnr_y"] = 30 + chance.randrange(6) / 2
    return measured


@pytest.fixture(scope="module")
def form(
    shuffled: ReportData, full_house: Path, browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The page of ``shuffled``, opened."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(full_house, monkeypatch)
        page = write_page(shuffled, tmp_path_factory.mktemp("shuffled") / "report")
    tab = browser.new_page()
    tab.goto(page.as_uri())
    yield tab
    tab.close()


def test_the_page_names_the_file_that_pick_names(shuffled: ReportData, form: Any) -> None:
    chance = random.Random(11)
    named = 0
    for _ in range(CASES):
        device, scale, name = (
            chance.choice(["here", "pi"]),
            chance.choice([2, 3, 4]),
            chance.choice(["", *shuffled.sets]),
        )
        size = chance.choice([(180, 320), (360, 640), (97, 131)])
        allowed = Budget(
            ms=chance.choice([None, 1.5, 4.0, 12.5, 40.0]),
            kib=chance.choice([None, None, 50, 100]),
            psnr_y=chance.choice([None, None, 31.5]),
            runtime=chance.choice([None, None, "tflite", "openvino", "onnx"]),
            variant=chance.choice([None, None, "fp32", "ptq", "qat"]),
        )
        files = [
            file
            for net in shuffled.nets
            for file in candidates(net, rows_of(shuffled, net, device), scale, size, [name] if name else shuffled.sets)
        ]
        form.evaluate(SET, fields(allowed, device, scale, name, size))
        shown = form.evaluate(READ)
        try:
            choice = pick(files, allowed)
        except UserError as error:
            assert shown["shipped"] is None
            fastest = re.search(r"takes ([\d.]+) ms and", str(error))
            assert (fastest[1] if fastest else "No file is within these limits") in shown["said"]
            continue
        named += 1
        assert shown["shipped"] == f"../export/{choice.best.net}/{choice.best.file}", (
            allowed,
            device,
            scale,
            name,
            size,
        )
        for word, other, said in zip(
            ("Faster", "Better"), (choice.faster, choice.better), shown["neighbours"], strict=True
        ):
            if other:
                assert same_file(said.removeprefix(f"{word} "), other)
            else:
                assert said == f"{word} none within the other limits"
    assert CASES / 3 < named < CASES


def same_file(said: str, file: Candidate) -> bool:
    """Return whether a line names a file and its latency; the browser rounds a half up, and Python to even."""
    title, _, rest = said.partition(": ")
    milliseconds = float(rest.partition(" ms")[0])
    names = [file.net, VARIANTS[file.variant], RUNTIMES[file.runtime]]
    return title.split(" · ") == names and abs(milliseconds - file.ms) < 0.0501


def rows_of(measured: ReportData, net: str, device: str) -> list[dict[str, Any]]:
    rows = measured.table
    of_net = (rows["system"] == net) & (rows["device"] == device)
    return rows[of_net | (rows["variant"] == "bicubic")].astype(object).where(rows.notna(), None).to_dict("records")


def fields(allowed: Budget, device: str, scale: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return what the reader sets for a budget."""
    height, width = size
    return {
        "ms": allowed.ms or "", "kib": allowed.kib or "", "min-psnr": allowed.psnr_y or "", "set": name,
        "runtime": allowed.runtime or "", "variant": allowed.variant or "", "scale": scale, "device": device,
        "size": "", "height": height, "width": width,
    }  # fmt: skip


def test_the_answer_has_figures_a_link_and_the_command(opened: Any) -> None:
    opened.locator("#ms").fill("26")
    answer = opened.locator("#answer")
    assert answer.locator(".file a").inner_text() == "abpn_x3 · int8 QAT · TFLite"
    figures = answer.locator("dd").all_inner_texts()
    assert figures[0].endswith(" ms")
    assert figures[1].startswith("+0.")
    assert answer.locator("a").get_attribute("href").startswith("../export/abpn_x3/")
    opened.get_by_text("The same on the command line").click()
    assert answer.locator("pre").inner_text() == "superres pick --scale 3 --ms 26 --size 360x640 --copy-to app/"


def test_the_first_lines_say_what_was_measured_where_and_when(opened: Any) -> None:
    assert opened.locator("header .lead").inner_text() == (
        "18 files of 2 networks that enlarge photographs ×3. Quality was measured on samples_heldout, Set5, speed on "
        "Model <9> & Co @ 2.10GHz (no VNNI), 2 January 2026."
    )


def test_the_slider_and_the_size_change_the_answer(opened: Any) -> None:
    shipped = opened.locator("#answer .file")
    slider = opened.locator("#ms-slider")
    slider.fill("1000")
    assert shipped.inner_text().startswith("abpn_x3 · fp32")
    slider.focus()
    opened.keyboard.press("Home")
    assert opened.locator("#answer .kicker").text_content().startswith("No file takes ")
    slider.fill("1000")
    opened.locator("#size").select_option("90x160")
    assert "estimated, from 640×360" in opened.locator("#answer").inner_text().replace(
        "an image, estimated", "estimated,"
    )
    opened.locator("#size").select_option("")
    opened.locator("#width").fill("0")
    assert opened.locator("#answer").inner_text().lower() == "one of the limits is not a number above 0"


def test_a_point_shows_its_figures_and_opens_its_images(opened: Any) -> None:
    point = opened.locator("#plot .mark-symbol path[aria-label*='small_x3 · int8 QAT · TFLite']")
    point.hover()
    tooltip = opened.locator("#vg-tooltip-element")
    assert tooltip.inner_text().startswith("small_x3 · int8 QAT · TFLite\n10.0 ms for an image\n")
    point.click()
    assert opened.locator("#left").input_value() == " bicubic"
    assert opened.locator("#right").input_value() == "small_x3 qat"
    box = opened.locator("#stages").bounding_box()
    assert 0 <= box["y"] < 900, "the images are in sight"


def test_the_keyboard_opens_the_images_of_the_file_to_ship(opened: Any) -> None:
    opened.get_by_role("button", name="See its images").focus()
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "divider"


def test_the_plot_is_saved_with_colours_of_its_own(opened: Any) -> None:
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save as SVG").click()
    text = Path(download.value.path()).read_text()
    assert text.startswith("<svg")
    assert "var(" not in text
    assert "#0072b2" in text


def test_unsettled_and_disagreeing_files_are_shown_hollow_and_never_named(repository: Path, browser: Any) -> None:
    def worse(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(settled=rows["settled"].where(rows["variant"] != "qat", False))

    change("abpn_x3", worse)
    measured = data.read(config.load(), "")
    files = list(budget.measured_files(measured))
    assert {file["leftOut"] for file in files if (file["net"], file["variant"]) == ("abpn_x3", "qat")} == {
        "its latency has not settled"
    }
    assert all(set(file["psnr"]) == {"", *SETS} for file in files)
    assert json.dumps(files, allow_nan=False)


def test_without_timings_there_is_no_first_screen(repository: Path, browser: Any) -> None:
    for system in ("abpn_x3", "small_x3"):
        change(system, lambda rows: rows.assign(p50_ms=float("nan"), settled=False))
    measured = data.read(config.load(), "")
    assert budget.build(measured) is None
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(write_page(measured, repository / "report").as_uri())
    assert tab.locator("#measurements tbody tr").count() > 0
    tab.close()
    assert errors == []


def test_the_large_page_has_a_file_for_every_device(large: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto(large.as_uri())
    seen = set()
    for device in ("here", "pi", "phone"):
        tab.locator("#device").select_option(device)
        seen.add(tab.locator("#answer .file").inner_text().split(" · ")[0])
    tab.close()
    assert len(seen) == 3
    assert seen <= set(LARGE_NETS)
