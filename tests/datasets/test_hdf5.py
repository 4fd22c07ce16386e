"""train.h5: equal bytes from equal images, complete or absent, and its errors."""

import errno
from pathlib import Path

import numpy as np
import pytest
from shared import largest_file

from pipeline_src.datasets import hdf5
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError


def image(side: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return an HR image of 3·side pixels per side, and its LR image at ×3."""
    hr = np.arange(9 * side**2 * 3, dtype=np.uint8).reshape(3 * side, 3 * side, 3)
    return hr, {3: hr[::3, ::3]}


def test_a_truncated_file_is_a_user_error(located: Path) -> None:
    located.write_bytes(located.read_bytes()[:700])
    with pytest.raises(UserError, match="is not a complete training file"):
        ImagePairs(located, "training")


def test_a_split_may_be_empty_but_not_inconsistent(tmp_path: Path) -> None:
    hr = np.zeros((64, 64, 3), np.uint8)
    hdf5.write(tmp_path / "train.h5", [("training", "set/a.png", hr, {2: hr[::2, ::2]})])
    assert ImagePairs(tmp_path / "train.h5", "validation").names == []
    images = [("training", "set/a.png", hr, {2: hr[::2, ::2]}), ("training", "set/b.png", hr, {})]
    hdf5.write(tmp_path / "train.h5", images)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="training/X2 has other images than training/HR"):
        ImagePairs(tmp_path / "train.h5", "training")


def test_equal_images_give_equal_files(tmp_path: Path) -> None:
    record = ("training", "set/a.png", *image(10))
    for name in ("a.h5", "b.h5"):
        hdf5.write(tmp_path / name, [record])  # type: ignore[list-item]
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_an_unfinished_file_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield "training", "set/a.png", *image(10)
        raise UserError("the second image is broken")

    with pytest.raises(UserError):
        hdf5.write(tmp_path / "train.h5", broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_many_images_need_one_file_descriptor(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    hdf5.write(tmp_path / "train.h5", (("training", f"set/{index}.png", *image(3)) for index in range(300)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        assert len(ImagePairs(tmp_path / "train.h5", "training").names) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_middle_returns_the_same_region_of_lr_and_hr(located: Path) -> None:
    lr, hr = ImagePairs(located, "training").middle("set/large.png", 3, 16)
    assert lr.shape == (16, 16, 3)
    assert np.array_equal(lr.repeat(3, axis=0).repeat(3, axis=1), hr)


@pytest.mark.parametrize("size", [100, 30_000, 150_000])
def test_a_full_disk_is_told_as_that_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    records = [("training", f"set/{number}.png", *image(20)) for number in range(20)]
    with largest_file(size), pytest.raises(OSError, match="File too large") as full:
        hdf5.write(tmp_path / "train.h5", records)  # type: ignore[arg-type]
    assert full.value.errno == errno.EFBIG
    assert str(full.value.filename).endswith("train.h5")
    assert [*tmp_path.iterdir()] == []
