"""Evaluation on a folder of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize
from pipeline_src.library import evaluation
from pipeline_src.library.nets import Running, resolve
from pipeline_src.library.upscaler import Tiling

HR = photograph("chelsea.png")[60:121, 100:176]  # 61×76, no multiple of 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of them grey, and LR images of all that MATLAB's imresize gives, named as DIV2K names them."""
    for name in ("hr", "lr"):
        (tmp_path / name).mkdir()
    Image.fromarray(HR).save(tmp_path / "hr/colour.png")
    Image.fromarray(HR[..., 1]).save(tmp_path / "hr/grey.png")
    Image.fromarray(imresize(HR, 1 / 3)).save(tmp_path / "lr/colourx3.png")
    Image.fromarray(imresize(HR[..., 1], 1 / 3)).save(tmp_path / "lr/grey.png")
    return tmp_path


def rows(folder: Path, lr: Path | None = None, save: Path | None = None) -> list[evaluation.Row]:
    values = evaluation.in_tiles(resolve("bicubic", Running(threads=1)).open(3), Tiling(999))
    return list(evaluation.evaluate(evaluation.pairs(folder / "hr", lr, 3), values, 3, 1, save))


def test_bicubic_is_as_good_as_the_bicubic_beside_it(folder: Path) -> None:
    measured = rows(folder, save=folder / "sr")
    assert [row["image"] for row in measured] == ["colour.png", "grey.png"]
    for row in measured:
        assert row["psnr_y"] == row["bicubic_psnr_y"]
    sizes = {path.name: Image.open(path) for path in (folder / "sr").iterdir()}
    assert {name: (image.size, image.mode) for name, image in sizes.items()} == {
        "colour.png": ((75, 60), "RGB"),
        "grey.png": ((75, 60), "L"),
    }
    means = evaluation.mean(measured)
    assert means["image"] == "mean"
    assert means["psnr_y"] == pytest.approx(np.mean([row["psnr_y"] for row in measured]))


def test_lr_images_of_the_user_may_cover_more_than_hr(folder: Path) -> None:
    """LR of ⌈61/3⌉×⌈76/3⌉ pixels covers two rows and two columns more than there are."""
    by_protocol, given = rows(folder), rows(folder, folder / "lr")
    for one, other in zip(by_protocol, given, strict=True):
        assert one["psnr_y"] != other["psnr_y"]
        assert float(one["psnr_y"]) == pytest.approx(float(other["psnr_y"]), abs=1)


@pytest.mark.parametrize("size", [(20, 25), (21, 26)])
def test_lr_of_either_rounding_fits(folder: Path, size: tuple[int, int]) -> None:
    Image.fromarray(HR).resize(size[::-1]).save(folder / "lr/colourx3.png")
    pair = evaluation.pairs(folder / "hr", folder / "lr", 3)[0].load(3, 1)
    assert pair.lr.shape[:2] == size
    assert pair.hr.shape[:2] == (min(61, size[0] * 3), min(76, size[1] * 3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("no LR", "lr has no image grey or greyx3 for .*grey.png; add it, or remove grey.png"),
        ("another size", "colourx3.png is 30×20 pixels and .*colour.png is 76×61, which is not ×3"),
        ("no images", "hr has no images; name the folder that the images are directly in"),
        ("no folder", "the folder .*hr does not exist"),
        ("small", "colour.png is too small for SSIM at ×3"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_image(folder: Path, change: str, sentence: str) -> None:
    match change:
        case "no LR":
            (folder / "lr/grey.png").unlink()
        case "another size":
            Image.fromarray(HR).resize((30, 20)).save(folder / "lr/colourx3.png")
        case "small":
            Image.fromarray(HR[:12, :12]).save(folder / "hr/colour.png")
            Image.fromarray(HR[:4, :4]).save(folder / "lr/colourx3.png")
        case _:
            for path in (folder / "hr").iterdir():
                path.unlink()
            if change == "no folder":
                (folder / "hr").rmdir()
    with pytest.raises(UserError, match=sentence.replace(".png", r"\.png")):
        rows(folder, folder / "lr")
