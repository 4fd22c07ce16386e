"""The nets whose weights the package carries, in ``pipeline_src/pretrained``, and the figures beside them.

Whatever weights lie in that folder are bundled. ``cards.json`` there holds what was measured of each, by
``python -m pipeline_src.library.measuring``, which must run again when a file is added or replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.library.entries import BICUBIC, DEGRADED, DEGRADED_END, HELD_OUT, Entry, Measurement
from pipeline_src.library.headers import is_supernet, licence, lr_of, provenance, read_header

FOLDER = Path(__file__).parents[1] / "pretrained"
CARDS = "cards.json"
DOWNSCALER = "_downscaler"  # end of a file's name
DEFAULT_SCALE = 4
ALIKE = 0.1  # dB that nobody sees


@dataclass(frozen=True)
class Card:
    """What was measured of a net.

    Attributes:
        file: name of its weights.
        sha256: of that file.
        measurements: the quality on each image set and scale.
    """

    file: str = ""
    sha256: str = ""
    measurements: list[Measurement] = field(default_factory=list)


def entries(folder: Path | None = None) -> list[Entry]:
    """Return the bundled nets, sorted by name.

    ``<name>_downscaler.safetensors`` holds the learned downscaler of the net ``<name>``, and is no entry itself.

    Args:
        folder: of the weights; None for ``FOLDER``.
    """
    folder = folder or FOLDER
    files = sorted(folder.glob("*.safetensors"))
    headers = {file: read_header(file) for file in files if not file.stem.endswith(DOWNSCALER)}
    measured = read_cards(folder)
    return [
        Entry(
            name=file.stem,
            source="bundled",
            model=str(header["model"]),
            scales=tuple(header["scales"]),
            supernet=is_supernet(header),
            lr=lr_of(header),
            weights=file,
            downscaler=next((other for other in files if other.stem == file.stem + DOWNSCALER), None),
            validation={"fp32": header["over_bicubic"]}
            if "over_bicubic" in header and not measured.get(file.stem)
            else {},
            measurements=tuple(measured[file.stem].measurements) if file.stem in measured else (),
            provenance=provenance(header),
            licence=licence(header),
        )
        for file, header in headers.items()
    ]


def best(scale: int, bundled: Sequence[Entry], lr: str = BICUBIC) -> Entry:
    """Return the net of a scale that is farthest above bicubic on the held-out photographs of scikit-image.

    Of nets that are within :data:`ALIKE` of it, the smallest one, which is the fastest.

    Args:
        scale: upscaling factor.
        bundled: the nets.
        lr: the LR images that the net is for: ``bicubic`` or ``degraded``.

    Raises:
        UserError: if there is none of this scale that was measured.
    """
    measured = [
        (measurement.over_bicubic, entry)
        for entry in bundled
        for measurement in entry.measurements
        if (measurement.set_name, measurement.scale, entry.lr) == (held_out(lr), scale, lr)
    ]
    if not measured:
        raise UserError(f"no bundled net upscales ×{scale}; choose one of `superres models` with --model")
    most = max(gain for gain, _ in measured)
    alike = [entry for gain, entry in measured if gain >= most - ALIKE]
    return min(alike, key=lambda entry: entry.weights.stat().st_size)


def scales(bundled: Sequence[Entry], lr: str = BICUBIC) -> tuple[int, ...]:
    """Return the scales that :func:`best` has a net for."""
    usable = (entry for entry in bundled if entry.lr == lr)
    return tuple(sorted({m.scale for entry in usable for m in entry.measurements if m.set_name == held_out(lr)}))


def held_out(lr: str) -> str:
    """Return the name of the held-out photographs with LR images of one kind, ``bicubic`` or ``degraded``."""
    return HELD_OUT + DEGRADED_END if lr == DEGRADED else HELD_OUT


def read_cards(folder: Path) -> dict[str, Card]:
    """Return what was measured of the nets of a folder, by name; nothing where nothing was measured."""
    file = folder / CARDS
    return read_json(file, dict[str, Card], "install the package again") if file.is_file() else {}
