"""Upscaling of images of any size in overlapping tiles, so that memory does not grow with the image."""

from collections.abc import Callable

import numpy as np

from pipeline_src.imaging.tiles import spans

Upscale = Callable[[np.ndarray], np.ndarray]  # from uint8 H×W×3 to uint8 sH×sW×3


def upscale_tiled(
    upscale: Upscale,
    lr: np.ndarray,
    scale: int,
    tile: int | tuple[int, int],
    overlap: int,
    progress: Callable[[], object] = lambda: None,
    dtype: type = np.uint8,
) -> np.ndarray:
    """Upscale an image tile by tile.

    All tiles have the same size, and overlap their neighbours by at least ``overlap`` pixels. In the middle of an
    overlap, the image passes from one tile to the next. If half of ``overlap`` covers the net's receptive field, the
    result equals that of the image in one piece.

    Args:
        upscale: maps a tile, uint8 H×W×3, to sH×sW×3 of ``dtype``.
        lr: the LR image, uint8 H×W×3.
        scale: upscaling factor s.
        tile: height and width of a tile in LR pixels, one number if they are the same; where the image is smaller, it
            is that of the image.
        overlap: LR pixels that neighbouring tiles share, fewer than ``tile``.
        progress: called after each tile.
        dtype: of what ``upscale`` returns.

    Returns:
        The SR image, sH×sW×3 of this dtype.
    """
    sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), dtype)
    height, width = _sides(tile)
    for top, keep_rows in spans(lr.shape[0], height, overlap):
        for left, keep_columns in spans(lr.shape[1], width, overlap):
            out = upscale(np.ascontiguousarray(lr[top : top + height, left : left + width]))
            rows, columns = _scaled(keep_rows, scale), _scaled(keep_columns, scale)
            y, x = top * scale, left * scale
            sr[rows, columns] = out[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
            progress()
    return sr


def tile_count(height: int, width: int, tile: int | tuple[int, int], overlap: int) -> int:
    """Return into how many tiles :func:`upscale_tiled` divides an image."""
    rows, columns = (len(list(spans(*sides, overlap))) for sides in zip((height, width), _sides(tile), strict=True))
    return rows * columns


def _sides(tile: int | tuple[int, int]) -> tuple[int, int]:
    return (tile, tile) if isinstance(tile, int) else tile


def _scaled(span: slice, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)
