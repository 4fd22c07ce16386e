"""The report's section on learned downscaling."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_results import BICUBIC, GAINS, SETS, enter, section_of

from pipeline_src import config
from pipeline_src.errors import UserError
from pipeline_src.reporting import data
from pipeline_src.reporting.section import table
from pipeline_src.reporting.sections import downscaling
from pipeline_src.stages.report import report

SYSTEM, BASELINE = "small_x3", "abpn_x3"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """The original with a learned downscaler in one of its systems."""
    root = tmp_path / "root"
    shutil.copytree(original, root)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["systems"][SYSTEM]["downscaler"] = {"model": "car", "tv_weight": 0.1}
    params["systems"][SYSTEM]["baseline"] = BASELINE
    for key in ("model", "scales", "net", "train"):
        params["systems"][BASELINE][key] = params["systems"][SYSTEM][key]
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    keys = [{"set": name, "image": image, "scale": 3} for name in SETS for image in ("a", "b")]
    lr = [
        key | {"lr": kind, "psnr_y": psnr, "ssim_y": ssim, "aliasing": alias, "tone_shift": shift, "png_bytes": size}
        for key in keys
        for kind, psnr, ssim, alias, shift, size in (
            ("learned", 34.0 if key["image"] == "a" else 36.0, 0.97, 2.5, -0.25, 3072),
            ("bicubic", float("inf"), 1.0, 1.5, 0.0, 2048),
        )
    ]
    jpeg = [
        key | {"lr": kind, "quality": q, "bytes": 1024 * q // 10, "psnr_y": base + q / 20, "ssim_y": 0.8}
        for key in keys
        for kind, base in (("learned", 25.0), ("bicubic", 26.0))
        for q in (30, 50, 70, 80, 90)
    ]
    folder = root / "results/benchmark" / SYSTEM
    pd.DataFrame(lr).to_csv(folder / "lr.csv", index=False)
    pd.DataFrame(jpeg).to_csv(folder / "jpeg.csv", index=False)
    steady = {"threads": 2, "runs": 40, "settled": True}
    files = [
        {
            "variant": variant, "runtime": "tflite", "scale": 3, "set": name, "images": 2, "lr_psnr": psnr,
            "bicubic_psnr_y": 44.0, "psnr_y_float": 31.5, "psnr_y_int8": 31.25, "hr_height": 540, "hr_width": 960,
            "p50_ms": ms, "p50_low_ms": ms - 0.5, "p50_high_ms": ms + 0.5, "file_bytes": 4096, "peak_memory_mb": 50.0,
            "off_levels": off, "disagrees": disagrees, "fails": "",
        } | steady
        for name in SETS
        for variant, psnr, ms, off, disagrees in (
            ("fp32", float("inf"), 40.0, 0, ""), ("ptq", 56.0, 12.0, 9, "gives another image here than at export"),
        )
    ]  # fmt: skip
    fails = {"variant": "ptq", "runtime": "openvino", "scale": 3, "fails": "OpenVINO crashes on it"}
    pd.DataFrame([*files, fails]).to_csv(folder / "downscaler.csv", index=False)
    return root


def test_the_files_of_the_downscaler_are_shown(root: Path) -> None:
    rows = downscaling.read_files(root / "results/benchmark", [SYSTEM], ["Set5"])
    shown = table("files", downscaling.OF_FILES, rows).rows
    assert [row[1:3] for row in shown] == [["fp32", "TFLite"], ["int8 PTQ", "TFLite"]]
    assert shown[0][5:] == ["–", "44.0", "31.50", "31.25", "40.0 ±0.5", "960×540", "0", "4", "50"]
    (root / "results/benchmark" / SYSTEM / "downscaler.csv").unlink()
    assert downscaling.read_files(root / "results/benchmark", [SYSTEM], ["Set5"]).empty


def test_means_over_the_images_of_a_set(root: Path) -> None:
    folder = root / "results/benchmark"
    rows = downscaling.compare(downscaling.read(folder, [SYSTEM], ["Set5"], "lr.csv")).set_index("lr")
    assert rows.loc["learned", "psnr_y"] == pytest.approx(35)
    assert pd.isna(rows.loc["bicubic", "psnr_y"])
    assert rows.loc["learned", "png_kib"] == pytest.approx(3)
    curves = downscaling.curves(downscaling.read(folder, [SYSTEM], ["Set5"], "jpeg.csv"))
    assert len(curves) == 10
    assert curves.query("lr == 'learned' and quality == 90")["kib"].item() == pytest.approx(9)
    words = downscaling.describe(curves)
    assert "small_x3 ×3, learned LR image: 26.50 dB at quality 30 (3.0 KiB), " in words
    assert "bicubic LR image: 27.50 dB at quality 30" in words


def test_the_page_shows_it_where_a_system_learns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(root, monkeypatch)
    report()
    page = (root / "results/report/index.html").read_text()
    section = section_of(page, "downscaled")
    cells = re.findall(r"<td[^>]*>([^<]+)</td>", section)
    gains = cells[: cells.index("learned") - 2]
    assert len(gains) == 7 * len(GAINS[SYSTEM]) * len(SETS)
    own, baseline = (
        BICUBIC["samples_heldout"] + GAINS[SYSTEM]["fp32"],
        BICUBIC["samples_heldout"] + GAINS[BASELINE]["fp32"],
    )
    difference = f"{own - baseline:+.2f}".replace("-", "−")
    assert gains[:7] == ["fp32", "×3", "samples_heldout", f"{own:.2f}", BASELINE, f"{baseline:.2f}", difference]
    assert cells[len(gains) :][:4] == ["×3", "samples_heldout", "learned", "35.00"]
    assert "−0.25" in section
    assert "The LR images of small_x3 come from a learned downscaler" in page
    assert "small_x3: LR made by a learned downscaler" in (root / "results/report/table.md").read_text()
    assert "The files of the downscalers" in section
    assert f"The downscaler of {SYSTEM}, ptq tflite, gives another image here than at export." in section
    assert section.count('<img class="light"') == len(SETS)
    assert (root / "results/report/figures/jpeg_Set5_light.svg").stat().st_size > 10_000


def test_elsewhere_there_is_none(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(original, tmp_path / "root")
    enter(tmp_path / "root", monkeypatch)
    report()
    assert 'id="downscaled"' not in (tmp_path / "root/results/report/index.html").read_text()


def test_a_missing_file_is_one_sentence(root: Path) -> None:
    with pytest.raises(UserError, match=r"nothing/jpeg\.csv does not exist; run `python -m .*benchmark nothing`"):
        downscaling.read(root / "results/benchmark", ["nothing"], ["Set5"], "jpeg.csv")


def test_on_a_set_with_lr_images_of_its_own_a_learned_downscaler_has_no_rows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(root, monkeypatch)
    before = data.read(config.load(), "").table
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["sets"]["Set5"]["degraded"] = {}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    read = data.read(config.load(), "")
    of_system = before["system"] == SYSTEM
    assert len(read.table) == len(before) - (of_system & (before["set"] == "Set5")).sum()
    assert {*read.table.loc[read.table["system"] == SYSTEM, "set"]} == {*SETS} - {"Set5"}
    assert "Set5" in {*read.table.loc[read.table["system"] == BASELINE, "set"]}
    assert {*downscaling.gains_over_baselines(read)["set"]} == {*SETS} - {"Set5"}
