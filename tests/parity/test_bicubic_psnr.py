"""The bicubic reference table of docs/protocol.md, on every set that the mirror has."""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from skimage import data, io

from pipeline_src.imaging.images import list_images, read_image
from pipeline_src.metrics.bicubic import reference_psnr_y

ROOT = Path(__file__).parents[2]
PUBLISHED = {  # mean Y PSNR in dB at ×2, ×3, ×4
    "Set5": (33.66, 30.39, 28.42),
    "Set14": (30.23, 27.54, 26.00),
    "BSD100": (29.56, 27.21, 25.96),
    "Urban100": (26.87, 24.46, 23.14),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_is_reproduced(name):
    mirror = os.environ.get("SR_DATA_MIRROR")
    if not mirror:
        pytest.skip("SR_DATA_MIRROR is not set: it names the folder of image sets")
    folder = Path(mirror) / name / "HR"
    if not folder.is_dir():
        pytest.skip(f"the mirror has no {name}/HR")
    images = [read_image(file) for file in list_images(folder)]
    for scale, published in zip((2, 3, 4), PUBLISHED[name], strict=True):
        measured = statistics.fmean(reference_psnr_y(image, scale, threads=2) for image in images)
        assert measured == pytest.approx(published, abs=0.01), f"{name} ×{scale}"


def test_the_table_of_the_protocol_is_the_published_one():
    rows = re.findall(
        r"\| (\w+) \| \d+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", (ROOT / "docs/protocol.md").read_text()
    )
    assert {name: tuple(map(float, figures)) for name, *figures in rows} == PUBLISHED


def test_the_command_prints_a_row_per_folder(tmp_path):
    io.imsave(tmp_path / "astronaut.png", data.astronaut()[:150, :151])
    io.imsave(tmp_path / "camera.png", data.camera()[:150, :151])
    command = [sys.executable, "-m", "pipeline_src.metrics.bicubic"]
    done = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    images = [read_image(file) for file in list_images(tmp_path)]
    means = [f"{statistics.fmean(reference_psnr_y(image, scale) for image in images):.2f}" for scale in (2, 3, 4)]
    assert done.stdout.splitlines()[-1] == f"| {tmp_path} | 2 | {' | '.join(means)} |"
    (tmp_path / "empty").mkdir()
    done = subprocess.run([*command, tmp_path / "empty"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"error: the folder .*empty has no images; .*\n", done.stderr)
