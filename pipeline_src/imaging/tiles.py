"""Division of a large image into overlapping tiles."""

from collections.abc import Iterator
from itertools import pairwise


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> Iterator[tuple[int, slice]]:
    """Yield the start of each tile along one side of an image, and the pixels of the image that are taken from it.

    Neighbours overlap by ``overlap`` pixels or more, and the seam lies in the middle of the overlap, so that no
    pixel is taken from near an inner border of its tile.

    Args:
        length: of the side, in pixels.
        tile: the most pixels of a tile.
        overlap: the least pixels that neighbours share.
        multiple: starts and seams are multiples of this, as ``tile`` and ``overlap`` have to be.
    """
    last = -(-max(length - tile, 0) // multiple) * multiple
    starts = [*range(0, last, tile - overlap), last]
    seams = [0, *((a + tile + b) // 2 // multiple * multiple for a, b in pairwise(starts)), length]
    for start, begin, end in zip(starts, seams, seams[1:], strict=False):
        yield start, slice(begin, end)
