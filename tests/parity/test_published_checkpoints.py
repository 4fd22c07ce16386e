"""The authors' checkpoint of CARN-M, imported, by the protocol: the figures of docs/published-checkpoints.md.

``SR_DATA_MIRROR`` names the folder of image sets; ``SR_CHECKPOINTS`` one with ``carn_m.pth``, by default the folder
``weights`` beside it.
"""

import os
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_src.files import sha256
from pipeline_src.imaging.images import list_images
from pipeline_src.importing.conversion import convert
from pipeline_src.importing.targets import targets
from pipeline_src.metrics.protocol import load_evaluation_image
from pipeline_src.metrics.psnr_ssim import luma, psnr

CARN_M = "d48a759a84509351facb6b7c6d5bd6edec98b98519b8c464ee4ab44d2ba964ff"
FIGURES = {2: 37.605, 3: 34.029, 4: 31.865}  # dB, Set5


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
@pytest.mark.parametrize("scale", FIGURES)
def test_carn_m_has_the_published_quality(scale: int, checkpoint: Path, mirror: Path) -> None:
    folder = mirror / "Set5/HR"
    if not folder.is_dir():
        pytest.skip("the mirror has no Set5/HR")
    imported = convert(checkpoint, targets("carn_m", None))
    net = imported.net.at_scale(scale)  # type: ignore[attr-defined]
    figures = []
    for file in list_images(folder):
        image = load_evaluation_image(file, scale, 1)
        lr = torch.tensor(image.lr.astype(np.float32)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            sr = net(lr)[0].permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy()
        figures.append(psnr(luma(image.hr), luma(sr), scale))
    assert statistics.fmean(figures) == pytest.approx(FIGURES[scale], abs=0.005)
