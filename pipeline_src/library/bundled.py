"""The nets whose weights the package carries, in ``pipeline_src/pretrained``, and the figures beside them.

Whatever weights lie in that folder are bundled. ``cards.json`` there holds what was measured of each, by
``python -m pipeline_src.library.measuring``, which must run again when a file is added or replaced.
"""

import json
from pathlib import Path
from typing import Any

from pipeline_src.errors import UserError
from pipeline_src.library.entries import HELD_OUT, Entry, Measurement
from pipeline_src.library.headers import is_supernet, licence, provenance, read_header

FOLDER = Path(__file__).parents[1] / "pretrained"
CARDS = "cards.json"
DEFAULT_SCALE = 4


def entries(folder: Path = FOLDER) -> list[Entry]:
    """Return the bundled nets, sorted by name.

    A file whose header names a ``downscaler`` of its own kind holds that of the net ``system``, and is no entry itself.
    """
    headers = {file: read_header(file) for file in sorted(folder.glob("*.safetensors"))}
    downscalers = {str(header.get("system")): file for file, header in headers.items() if _is_downscaler(header)}
    measured = _cards(folder)
    return [
        Entry(
            name=file.stem,
            source="bundled",
            model=str(header["model"]),
            scales=tuple(header["scales"]),
            supernet=is_supernet(header),
            weights=file,
            downscaler=downscalers.get(file.stem),
            measurements=tuple(Measurement(**row) for row in measured.get(file.stem, {}).get("measurements", [])),
            provenance=provenance(header),
            licence=licence(header),
        )
        for file, header in headers.items()
        if not _is_downscaler(header)
    ]


def best(scale: int, bundled: list[Entry]) -> Entry:
    """Return the net of a scale that is farthest above bicubic on the held-out photographs of scikit-image.

    Raises:
        UserError: if there is none of this scale that was measured.
    """
    measured = [
        (measurement.over_bicubic, entry)
        for entry in bundled
        for measurement in entry.measurements
        if (measurement.set_name, measurement.scale) == (HELD_OUT, scale) and entry.downscaler is None
    ]
    if not measured:
        raise UserError(f"no bundled net upscales ×{scale}; choose one of `superres models` with --model")
    return max(measured, key=lambda pair: pair[0])[1]


def scales(bundled: list[Entry]) -> tuple[int, ...]:
    """Return the scales that :func:`best` has a net for."""
    return tuple(
        sorted(
            {
                m.scale
                for entry in bundled
                for m in entry.measurements
                if not entry.downscaler and m.set_name == HELD_OUT
            }
        )
    )


def _is_downscaler(header: dict[str, Any]) -> bool:
    return isinstance(header.get("downscaler"), str)


def _cards(folder: Path) -> dict[str, Any]:
    file = folder / CARDS
    if not file.is_file():
        return {}
    cards: dict[str, Any] = json.loads(file.read_text())
    return cards
