"""What a checkpoint can be imported as: a system of params.yaml, or a published net by its well-known name."""

import difflib
from dataclasses import dataclass
from typing import Any

from pipeline_src.config import Params
from pipeline_src.errors import UserError

EDSR_LARGE = {"channels": 256, "blocks": 32, "residual_scale": 0.1}
EDSR_BASELINE = {"channels": 64, "blocks": 16, "residual_scale": 1.0}
ABPN = {"channels": 28, "depth": 4, "residual": "anchor", "image_conv": True}
CAR = {"entry": 64, "features": 128, "head": 256, "blocks": 5}
SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Target:
    """A net, or a downscaler, that a checkpoint can be imported as.

    Attributes:
        name: of the system.
        downscales: whether it is the downscaler of the system.
        model: its package.
        scales: of the system; a file of more scales keeps them.
        net: arguments of the package's ``build``.
        of_params: whether params.yaml describes it, and not a publication.
    """

    name: str
    downscales: bool
    model: str
    scales: list[int]
    net: dict[str, Any]
    of_params: bool

    @property
    def title(self) -> str:
        """What messages call it."""
        part = f"the downscaler of {self.name}" if self.downscales else self.name
        return f"{part} of params.yaml" if self.of_params else f"the published {self.name}" + self.downscales * " (kgn)"


def published() -> dict[str, list[Target]]:
    """Return the published nets by their well-known names; CAR has two parts, which a file tells apart."""
    cascades: dict[str, tuple[str, dict[str, Any]]] = {
        "carn": ("carn", {"mobile": False, "groups": 1}),
        "carn_m": ("carn", {"mobile": True, "groups": 4}),
        "ecdn": ("ecdn", {"mobile": False, "groups": 4}),
        "ecdn_m": ("ecdn", {"mobile": True, "groups": 4}),
        "vdsr": ("vdsr", {"channels": 64, "depth": 20}),
    }
    found = {name: [Target(name, False, model, [*SCALES], net, False)] for name, (model, net) in cascades.items()}
    for scale in SCALES:
        for name, model, net in (
            (f"edsr_baseline_x{scale}", "edsr", EDSR_BASELINE),
            (f"edsr_x{scale}", "edsr", EDSR_LARGE),
            (f"abpn_x{scale}", "abpn", ABPN),
        ):
            found[name] = [Target(name, False, model, [scale], net, False)]
    for scale in (2, 4):
        name = f"car_x{scale}"
        found[name] = [
            Target(name, False, "edsr", [scale], EDSR_LARGE, False),
            Target(name, True, "car", [scale], CAR, False),
        ]
    return found


def targets(name: str, params: Params | None) -> list[Target]:
    """Return what ``name`` can be, those of params.yaml first.

    Args:
        name: of a system of params.yaml, or of a published net.
        params: params.yaml; None where there is none.

    Raises:
        UserError: if neither knows the name.
    """
    found: list[Target] = []
    systems = params.systems if params else {}
    if system := systems.get(name):
        found.append(Target(name, False, system.model, system.scales, system.net, True))
        if system.downscaler.learns:
            found.append(Target(name, True, system.downscaler.model, system.scales, system.downscaler.net, True))
    known = published()
    found += known.get(name, [])
    if not found:
        names = [*dict.fromkeys([*systems, *known])]
        nearest = difflib.get_close_matches(name, names, 1, 0.0)[0]
        raise UserError(
            f"--as names {name!r}, which is neither a system of params.yaml nor a published net; the nearest is "
            f"{nearest}, and all are {', '.join(names)}"
        )
    return found
