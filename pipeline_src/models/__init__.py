"""The super-resolution nets. A net describes itself, so that nothing else asks which net it is.

A model is one file with a function ``build(scales, **net)`` that returns a torch module with

* ``description``: a :class:`Description`;
* ``at_scale(scale)``: a module that maps a batch of LR images, float NCHW in 0..255, to SR images of ``scale`` times
  the height and width, float NCHW, clamped to 0..255 in eval mode.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True)
class Description:
    """What a net takes and gives."""

    scales: tuple[int, ...]
    colour: Literal["RGB", "Y"] = "RGB"
    takes: Literal["LR", "upscaled"] = "LR"  # "upscaled": the bicubic-upscaled LR image
    multiple: int = 1  # both sides of what the net takes must be a multiple of this


def build(model: str, scales: list[int], net: dict[str, Any]) -> Any:
    """The untrained net of ``pipeline_src/models/<model>.py``, initialised from torch's global generator."""
    module: nn.Module = importlib.import_module(f"pipeline_src.models.{model}").build(scales, **net)
    return module
