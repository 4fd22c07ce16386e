"""Tiles cover an image once, with seams far from the borders of the tiles."""

import pytest

from pipeline_src.imaging.tiles import spans


@pytest.mark.parametrize("length", [1, 7, 64, 65, 100, 257, 1000])
@pytest.mark.parametrize(("tile", "overlap", "multiple"), [(64, 16, 1), (64, 16, 8), (48, 0, 8)])
def test_every_pixel_comes_from_the_inside_of_one_tile(length: int, tile: int, overlap: int, multiple: int) -> None:
    tile_spans = list(spans(length, tile, overlap, multiple))
    pixels = [pixel for _, span in tile_spans for pixel in range(span.start, span.stop)]
    assert pixels == list(range(length))
    for start, span in tile_spans:
        end = min(start + tile, length)
        assert start % multiple == 0
        assert start <= span.start < span.stop <= end
        for border, seam, outside in ((start, span.start, 0), (end, span.stop, length)):
            assert seam == outside or abs(seam - border) >= overlap // 2 - multiple
