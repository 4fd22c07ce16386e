"""Division of a large image into overlapping tiles."""

from collections.abc import Iterator
from itertools import pairwise


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> Iterator[tuple[int, slice]]:
    """Yield the start of each tile along one side of an image, and the slice of the image that the tile provides.

    Neighbours overlap by at least ``overlap`` pixels, and their seam lies in the middle of the overlap, far from the
    borders of both tiles.

    Args:
        length: of the side, in pixels.
        tile: greatest length of a tile.
        overlap: least overlap of neighbours.
        multiple: starts and seams are multiples of it; ``tile`` and ``overlap`` must be, too.
    """
    last = -(-max(length - tile, 0) // multiple) * multiple
    starts = [*range(0, last, tile - overlap), last]
    seams = [0, *((a + tile + b) // 2 // multiple * multiple for a, b in pairwise(starts)), length]
    for start, begin, end in zip(starts, seams, seams[1:], strict=False):
        yield start, slice(begin, end)
