"""LR images of the user's own in a set that the stage fetch has written: ``LR/X<scale>/<name of the HR image>``."""

import glob
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline_src.config import SCALES
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import read_image
from pipeline_src.paths import own_lr_folder


def scales_of(folder: Path) -> list[int]:
    """Return the scales of which a set that the stage fetch has written has LR images of its own; none if bicubic's."""
    return [scale for scale in SCALES if own_lr_folder(folder, scale).is_dir()]


def read(hr: Path, scale: int) -> np.ndarray:
    """Return the user's own LR image, uint8 h×w×3 or grey h×w, of an HR image in a folder of the stage fetch.

    Raises:
        UserError: if it is missing or broken.
    """
    folder = own_lr_folder(hr.parent, scale)
    files = [file for file in folder.glob(f"{glob.escape(hr.stem)}.*") if file.stem == hr.stem]
    if not files:
        raise UserError(f"{folder} has no LR image of {hr.name}; run the stage fetch@{hr.parent.name}")
    return read_image(files[0])


def refuse_missing_scales(name: str, own: Iterable[int], wanted: Iterable[int]) -> None:
    """Check that a set with LR images of its own has them at every scale that is wanted.

    Args:
        name: of the set.
        own: scales of which it has LR images of its own; none if bicubic makes them.
        wanted: scales that build_h5 stores, or that systems are measured at.

    Raises:
        UserError: naming the first scale that it lacks.
    """
    own = list(own)
    missing = sorted({*wanted} - {*own})
    if own and missing:
        has = ", ".join(f"×{scale}" for scale in own)
        raise UserError(
            f"the image set {name} has LR images of its own at {has} and none at ×{missing[0]}; put them into "
            f"X{missing[0]} of its lr_folder, or leave this scale out in params.yaml (of a training set in build_h5: "
            "scales:, of an evaluation set in systems:)"
        )
