"""PNG files of 16 bits a sample in colour, which Pillow reads but does not write."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2  # the filter that keeps the difference to the row above
ROWS = 64  # that are compressed at once


def write_wide_png(path: Path, samples: np.ndarray, **metadata: Any) -> None:
    """Write samples of 16 bits as a PNG file.

    Args:
        path: the file.
        samples: uint16 H×W×C: grey, grey and alpha, RGB or RGBA.
        metadata: what Pillow's writer of PNG takes: ``exif``, ``icc_profile``, ``dpi``, ``pnginfo``.
    """
    height, width, channels = samples.shape
    chunks = list(_chunks_of_metadata(metadata))
    with path.open("wb") as file:
        file.write(SIGNATURE)
        header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[channels], 0, 0, 0)
        file.write(_chunk(b"IHDR", header))
        for kind, data in chunks:
            file.write(_chunk(kind, data))
        for data in _compressed(samples):
            file.write(_chunk(b"IDAT", data))
        file.write(_chunk(b"IEND", b""))


def _chunks_of_metadata(metadata: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that Pillow writes for metadata, with a PNG of one pixel."""
    file = BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG", **metadata)
    data = file.getvalue()
    position = len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            yield kind, data[position + 8 : position + 8 + length]
        position += length + 12


def _compressed(samples: np.ndarray) -> Iterator[bytes]:
    """Yield the rows as parts of one stream of zlib, filtered."""
    packer = zlib.compressobj(6)
    above = np.zeros((1, samples.shape[1] * samples.shape[2] * 2), np.uint8)
    for first in range(0, len(samples), ROWS):
        rows = samples[first : first + ROWS].astype(">u2").reshape(-1, samples.shape[1] * samples.shape[2])
        stored = rows.view(np.uint8)
        differences = stored - np.concatenate([above, stored[:-1]])
        above = stored[-1:]
        filtered = np.insert(differences, 0, UP, axis=1)
        if data := packer.compress(filtered.tobytes()):
            yield data
    yield packer.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
