"""Upscaling to any size, and by files of one size."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from shared import photograph

from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize
from pipeline_src.library import files
from pipeline_src.library.finding import find
from pipeline_src.library.nets import Running, resolve
from pipeline_src.library.output_size import OutputSize, factor
from pipeline_src.library.upscaler import Tiling, Upscaler

ONE = Running(threads=1)
LR = photograph("chelsea.png")[100:171, 80:181]


def upscaled(model: str | None, size: OutputSize, lr: np.ndarray = LR, tiling: Tiling | None = None) -> np.ndarray:
    return Upscaler(resolve(model, ONE), size, tiling or Tiling()).plan(*lr.shape[:2])(lr)


@pytest.mark.parametrize(
    ("size", "shape", "scale"),
    [
        (OutputSize(Fraction(5, 2)), (178, 253, 3), 3),
        (OutputSize(Fraction(3)), (213, 303, 3), 3),
        (OutputSize(width=240), (169, 240, 3), 3),
        (OutputSize(height=142), (142, 202, 3), 2),
        (OutputSize(), (284, 404, 3), 4),
    ],
)
def test_the_next_larger_net_and_then_bicubic_make_any_size(
    shelf: Path, size: OutputSize, shape: tuple[int, ...], scale: int
) -> None:
    sr = upscaled(None, size)
    assert sr.shape == shape
    plan = Upscaler(resolve(None, ONE), size).plan(*LR.shape[:2])
    assert plan.runner
    assert plan.runner.scale == scale
    whole = plan.runner(LR)
    assert np.array_equal(sr, whole if plan.factor == scale else imresize(whole, plan.factor / scale))


def test_bicubic_has_every_factor_itself() -> None:
    assert np.array_equal(upscaled("bicubic", OutputSize(Fraction(5, 2))), imresize(LR, Fraction(5, 2)))


def test_a_size_that_no_net_reaches_or_that_is_no_larger_is_refused(shelf: Path) -> None:
    with pytest.raises(UserError, match=r"good upscales ×3, not ×3\.1; choose another --scale"):
        upscaled("good", OutputSize(Fraction(31, 10)))
    with pytest.raises(
        UserError, match="good upscales by ×3 at most, an image of 101 pixels to 303; choose --width 303"
    ):
        upscaled("good", OutputSize(width=404))
    with pytest.raises(UserError, match="the image is 101 pixels wide, and 101 is not larger; choose a larger size"):
        upscaled("good", OutputSize(width=101))
    with pytest.raises(UserError, match=r"bicubic upscales by ×16 at most, .* choose --height 1136 or less"):
        upscaled("bicubic", OutputSize(height=2_000_000))


@pytest.mark.parametrize("format_name", ["tflite", "onnx", "openvino"])
@pytest.mark.parametrize("lr", [LR, LR[:20], LR[:10, :12]], ids=["larger", "lower", "smaller"])
def test_tiles_follow_a_file_of_one_size(shelf: Path, tmp_path: Path, format_name: str, lr: np.ndarray) -> None:
    suffix = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}[format_name]
    file = tmp_path / f"one{suffix}"
    files.export(find("good"), files.Wanted("fp32", format_name, 3, (32, 48)), file)
    sr = upscaled(str(file), OutputSize(), lr, Tiling(tile=999, overlap=20))
    reference = upscaled("good", OutputSize(), lr)
    assert abs(sr[:12, :12].astype(int) - reference[:12, :12]).max() <= 1
    inside = np.s_[: lr.shape[0] * 3 - 15, : lr.shape[1] * 3 - 15]  # beyond it a small image's net sees its mirror
    assert abs(sr[inside].astype(int) - reference[inside]).max() <= 1
    assert sr.shape == reference.shape


def test_the_overlap_of_a_file_of_one_size_is_at_most_half_of_it(shelf: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.tflite"
    files.export(find("good"), files.Wanted("fp32", "tflite", 3, (16, 24)), file)
    plan = Upscaler(resolve(str(file), ONE)).plan(*LR.shape[:2])
    assert (plan.tile, plan.overlap) == ((16, 24), 8)


def test_names_say_the_size(shelf: Path) -> None:
    sizes = (OutputSize(Fraction(5, 2)), OutputSize(Fraction(4)), OutputSize(width=1920), OutputSize(height=1080))
    assert [size.label for size in sizes] == ["x2.5", "x4", "1920w", "1080h"]
    assert Upscaler(resolve("good", ONE)).label == "x3"
    assert Upscaler(resolve(None, ONE)).label == "x4"


@pytest.mark.parametrize("text", ["1", "0", "-2", "nan", "inf", "1/0", "17", "three"])
def test_a_factor_is_a_number_above_1(text: str) -> None:
    with pytest.raises(
        Exception, match=f"^{text} is not a number|^a factor must be above 1 and at most 16, not {text}"
    ):
        factor(text)


def test_the_overlap_is_smaller_than_the_tile() -> None:
    with pytest.raises(UserError, match="--overlap is 32 and --tile is 32; the overlap must be smaller than the tile"):
        Tiling(32, 32)
