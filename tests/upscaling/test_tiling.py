"""Upscaling in tiles."""

import numpy as np

from pipeline_src.upscaling.tiling import tile_count, upscale_tiled


def test_every_pixel_comes_from_one_tile_and_no_tile_is_too_large() -> None:
    sizes = []

    def nearest(lr: np.ndarray) -> np.ndarray:
        sizes.append(lr.shape[:2])
        return lr.repeat(2, axis=0).repeat(2, axis=1)

    lr = np.random.default_rng(1).integers(0, 256, (101, 333, 3), np.uint8)
    steps: list[None] = []
    tiled = upscale_tiled(nearest, lr, 2, tile=50, overlap=10, progress=lambda: steps.append(None))
    assert set(sizes) == {(50, 50)}
    assert len(steps) == len(sizes) == tile_count(101, 333, tile=50, overlap=10)
    assert np.array_equal(tiled, nearest(lr))
