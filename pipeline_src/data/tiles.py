"""Where the tiles of a large image lie."""

from collections.abc import Iterator
from itertools import pairwise


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> Iterator[tuple[int, slice]]:
    """Start of each tile along one side, and the part of the image that is taken from it.

    Tiles are at most ``tile`` pixels long and share ``overlap`` or more with their neighbours, of which each keeps the
    half farther from its own border. Starts and seams are multiples of ``multiple``, as ``tile`` and ``overlap`` are.
    """
    last = -(-max(length - tile, 0) // multiple) * multiple
    starts = [*range(0, last, tile - overlap), last]
    seams = [0, *((a + tile + b) // 2 // multiple * multiple for a, b in pairwise(starts)), length]
    for start, begin, end in zip(starts, seams, seams[1:], strict=False):
        yield start, slice(begin, end)
