"""From the tensors of a checkpoint to weights that a training starts from, or that are used as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline_src import weights
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.importing.layouts import DOWNSCALERS, NETS
from pipeline_src.importing.reading import read
from pipeline_src.importing.rules import NotFittingError, Rules, applied, copied
from pipeline_src.importing.targets import Target
from pipeline_src.models import TorchModule


@dataclass(frozen=True)
class Imported:
    """A checkpoint as a net of ours.

    Attributes:
        target: what it was imported as.
        scales: of the net.
        net: with the weights, in eval mode.
        metadata: what the weights file says beside them.
    """

    target: Target
    scales: list[int]
    net: TorchModule
    metadata: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write weights that ``start`` of a recipe takes; whole, or not at all."""
        weights.save_net(path, self.net, self.metadata)


def convert(file: Path, targets: Sequence[Target], scales: Sequence[int] | None = None) -> Imported:
    """Read a checkpoint, and return it as the first of ``targets`` that it fits.

    Args:
        file: the checkpoint.
        targets: what it may be, in the order in which they are tried.
        scales: which of its scales to keep; None for all that it has.

    Raises:
        UserError: if it cannot be read, or fits none; the message is about the one that it fits best.
    """
    tensors = read(file)
    refusals: list[NotFittingError] = []
    for target in targets:
        try:
            return _as_target(tensors, target, scales, file)
        except NotFittingError as refusal:
            refusals.append(refusal)
    raise max(refusals, key=lambda refusal: refusal.matched)


def _as_target(tensors: Mapping[str, Tensor], target: Target, scales: Sequence[int] | None, file: Path) -> Imported:
    layout = (DOWNSCALERS if target.downscales else NETS).get(target.model)
    found = layout.scales_of(tensors) if layout else []
    if layout and not layout.SEVERAL_SCALES and found not in ([], target.scales):
        sizes = f"{_names(found)}, but {target.title} is of {_names(target.scales)}"
        raise NotFittingError(f"{file} holds a net of {sizes}; give another name by --as", len(tensors))
    kept = _kept(scales, found or target.scales, file)
    build = weights.build_downscaler if target.downscales else weights.build
    net: Any = build(target.model, kept, target.net, target.title)
    own = net.state_dict()
    if tensors.keys() == own.keys():
        rules = Rules([copied(name, name) for name in own])
    elif layout:
        rules = layout.rules_of(net, kept, tensors)
    else:
        raise NotFittingError(
            f"{file} does not have the names of {target.title}, and of {target.model} no layout is known; give another "
            "name by --as",
            0,
        )
    net.load_state_dict(applied(rules, tensors, own, (str(file), target.title)))
    # Without the name of the file, so that the same checkpoint always gives the same weights file.
    source = {"imported": sha256(file), "origin": "a published checkpoint", "dtype": "float32"}
    kind = {"downscaler" if target.downscales else "model": target.model}
    return Imported(target, kept, net.eval(), {**kind, "scales": kept, "net": target.net, **source})


def _kept(wanted: Sequence[int] | None, has: list[int], file: Path) -> list[int]:
    """Return the scales to import of those that a file has."""
    if wanted and not {*wanted} <= {*has}:
        raise UserError(f"--scales is {_names(wanted)}, but {file} holds {_names(has)}; name some of those")
    return sorted({*wanted}) if wanted else has


def _names(scales: Sequence[int]) -> str:
    return " ".join(f"×{scale}" for scale in scales)
