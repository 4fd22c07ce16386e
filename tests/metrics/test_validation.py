"""Quality on validation crops, compared with bicubic."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shared import photograph
from torch import nn

from pipeline_src.datasets import hdf5
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize, imresize_float, round_to_uint8
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.metrics.validation import validation_crops, validator
from pipeline_src.models import Description, build

CPU = torch.device("cpu")
PHOTOS = [photograph("coffee.png")[100:220, 100:240], photograph("chelsea.png")[40:160, 60:180]]
FLAT = np.full((64, 80, 3), 255, np.uint8)


def validation(folder: Path, *images: np.ndarray) -> ImagePairs:
    def records() -> Iterator[Any]:
        for index, hr in enumerate(images):
            yield "validation", f"photographs/{index}", hr, {scale: imresize(hr, 1 / scale) for scale in (2, 4)}

    hdf5.write(folder / "train.h5", records())
    return ImagePairs(folder / "train.h5", "validation")


class Nearest(nn.Module):
    """Enlarges by repeating pixels."""

    def __init__(self, takes: str = "LR") -> None:
        super().__init__()
        self.description = Description(scales=(2, 4), takes=takes)  # type: ignore[arg-type]

    def at_scale(self, scale: int) -> nn.Module:
        return nn.Identity() if self.description.takes == "HR" else nn.Upsample(scale_factor=scale)


def test_figures_are_means_over_images_and_scales_and_compared_with_bicubic(tmp_path: Path) -> None:
    images = validation(tmp_path, *PHOTOS)
    row = validator(images, [2, 4], 24, CPU)(Nearest())
    psnr_y, bicubic = {}, []
    for scale in (2, 4):
        crops = [images.middle(name, scale, 24) for name in images.names]
        nearest = [lr.repeat(scale, axis=0).repeat(scale, axis=1) for lr, _ in crops]
        psnr_y[scale] = [quality(hr, sr, scale).psnr_y for (_, hr), sr in zip(crops, nearest, strict=True)]
        bicubic += [quality(hr, round_to_uint8(imresize_float(lr, scale)), scale).psnr_y for lr, hr in crops]
    assert row["psnr_y_x2"] == pytest.approx(np.mean(psnr_y[2]))
    assert row["psnr_y_x4"] == pytest.approx(np.mean(psnr_y[4]))
    assert row["psnr_y"] == pytest.approx((row["psnr_y_x2"] + row["psnr_y_x4"]) / 2)
    assert row["over_bicubic"] == pytest.approx(row["psnr_y"] - np.mean(bicubic))
    assert set(row) == {"psnr_y", "psnr_rgb", "over_bicubic", "psnr_y_x2", "psnr_y_x4"}


def test_one_scale_has_no_figure_per_scale_and_the_net_is_put_in_eval_mode(tmp_path: Path) -> None:
    net = Nearest().train()
    row = validator(validation(tmp_path, *PHOTOS), [2], 24, CPU)(net)
    assert set(row) == {"psnr_y", "psnr_rgb", "over_bicubic"}
    assert not net.training


def test_a_net_that_is_trained_with_its_downscaler_gets_hr(tmp_path: Path) -> None:
    assert validator(validation(tmp_path, *PHOTOS), [2], 24, CPU)(Nearest(takes="HR"))["psnr_y"] == float("inf")


def test_flat_images_are_left_out(tmp_path: Path) -> None:
    images = validation(tmp_path, PHOTOS[0], FLAT)
    crops, bicubic_psnrs = validation_crops(images, images.names, 2, 24)
    assert len(crops) == len(bicubic_psnrs) == 1
    assert np.array_equal(crops[0][1], images.middle("photographs/0", 2, 24)[1])


def test_no_validation_image_and_only_flat_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.h5 holds no validation image; lower build_h5\.validation_every"):
        validator(validation(tmp_path), [2], 24, CPU)
    with pytest.raises(UserError, match=r"every validation image of .*train\.h5 is flat"):
        validator(validation(tmp_path, FLAT), [2], 24, CPU)


def pairs(*validation: np.ndarray) -> Iterator[Any]:
    for index, hr in enumerate(validation):
        yield "validation", f"photographs/{index}", hr, {2: imresize(hr, 1 / 2)}


def test_a_flat_validation_image_is_left_out_and_only_flat_ones_are_refused(tmp_path: Path) -> None:
    """Bicubic restores it exactly: its PSNR is infinite, and so would be every mean with it."""
    part, flat = photograph("coffee.png")[100:164, 100:180], np.full((64, 80, 3), 255, np.uint8)
    net, found = build("abpn", [2], {"channels": 8, "depth": 1}), []
    for name, images in (("both", (flat, part)), ("one", (part,)), ("none", (flat,))):
        hdf5.write(tmp_path / f"{name}.h5", pairs(*images))
        validation = ImagePairs(tmp_path / f"{name}.h5", "validation")
        if name == "none":
            with pytest.raises(UserError, match=r"every validation image of .*none\.h5 is flat; lower build_h5\.valid"):
                validator(validation, [2], 24, CPU)
        else:
            found.append(validator(validation, [2], 24, CPU)(net))
    assert found[0] == found[1]
    assert all(np.isfinite(value) for value in found[0].values())
