"""A training file whose pixels contain their own position."""

from pathlib import Path

import numpy as np
import pytest

from pipeline_src.datasets import hdf5


def coordinates(height: int, width: int, scale: int) -> np.ndarray:
    """Return an image whose pixels contain their own position in LR pixels, (y, x, 0)."""
    y, x = np.mgrid[:height, :width] // scale
    return np.stack([y, x, np.zeros_like(x)], axis=-1).astype(np.uint8)


@pytest.fixture
def located(tmp_path: Path) -> Path:
    """Write a train.h5 of a large image and one smaller than a patch; pixels contain their position at ×3."""
    path = tmp_path / "train.h5"
    large = {2: coordinates(61, 90, 1), 3: coordinates(40, 60, 1)}
    small = {2: coordinates(15, 61, 1), 3: coordinates(10, 40, 1)}
    hdf5.write(
        path,
        [
            ("training", "set/large.png", coordinates(122, 181, 3), large),
            ("training", "set/small.png", coordinates(30, 122, 3), small),
        ],
    )
    return path
