"""The authors' checkpoint of CARN-M, imported, by the protocol: the figures of docs/published-checkpoints.md.

``SR_DATA_MIRROR`` names the folder of image sets; ``SR_CHECKPOINTS`` one with ``carn_m.pth``, by default the folder
``weights`` beside it. Set14 takes minutes and is computed only if ``SR_CHECKPOINTS`` is set.
"""

import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_src.files import sha256
from pipeline_src.imaging import colour
from pipeline_src.imaging.images import list_images
from pipeline_src.importing.conversion import convert
from pipeline_src.importing.targets import targets
from pipeline_src.metrics.protocol import load_evaluation_image
from pipeline_src.metrics.psnr_ssim import luma, psnr

CARN_M = "d48a759a84509351facb6b7c6d5bd6edec98b98519b8c464ee4ab44d2ba964ff"
FIGURES = {  # dB; the second of Set14 with its grey image bridge as RGB, as papers have it
    "Set5": {2: (37.605,), 3: (34.029,), 4: (31.865,)},
    "Set14": {2: (33.187, 33.281), 3: (29.997, 30.091), 4: (28.319, 28.413)},
}


@pytest.fixture
def mirror() -> Path:
    name = os.environ.get("SR_DATA_MIRROR")
    if not name:
        pytest.skip("SR_DATA_MIRROR is not set: it names the folder of image sets")
    return Path(name)


@pytest.fixture
def checkpoint(mirror: Path) -> Path:
    file = Path(os.environ.get("SR_CHECKPOINTS", mirror.parent / "weights")) / "carn_m.pth"
    if not file.is_file():
        pytest.skip(f"there is no {file}: SR_CHECKPOINTS names the folder of published checkpoints")
    return file


def test_the_preset_names_the_file_that_the_authors_checkpoint_becomes(checkpoint: Path, tmp_path: Path) -> None:
    assert sha256(checkpoint) == CARN_M
    convert(checkpoint, targets("carn_m", None)).save(tmp_path / "carn_m.safetensors")
    preset = Path(__file__).parents[2] / "workflow/presets/published.yaml"
    assert f"sha256: {sha256(tmp_path / 'carn_m.safetensors')[:12]}}}" in preset.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, figures in FIGURES.items() for scale in figures])
def test_carn_m_has_the_published_quality(name: str, scale: int, checkpoint: Path, mirror: Path) -> None:
    if name != "Set5" and "SR_CHECKPOINTS" not in os.environ:
        pytest.skip(f"{name} takes minutes; set SR_CHECKPOINTS to have it computed")
    folder = mirror / name / "HR"
    if not folder.is_dir():
        pytest.skip(f"the mirror has no {name}/HR")
    net: Any = convert(checkpoint, targets("carn_m", None)).net
    as_it_is, as_rgb = [], []
    for file in list_images(folder):
        image = load_evaluation_image(file, scale, 1)
        lr = torch.tensor(colour.as_rgb(image.lr).astype(np.float32)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            sr = net.at_scale(scale)(lr)[0].permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy()
        as_rgb.append(psnr(luma(colour.as_rgb(image.hr)), luma(sr), scale))
        grey = image.hr.ndim == 2
        as_it_is.append(psnr(image.hr, colour.to_grey(sr), scale) if grey else as_rgb[-1])
    measured = (statistics.fmean(as_it_is), statistics.fmean(as_rgb))
    expected = FIGURES[name][scale]
    assert measured[: len(expected)] == pytest.approx(expected, abs=0.005)
