"""The super-resolution nets. A net describes itself, so that nothing else asks which net it is.

A model is a package, at least a file ``<name>/__init__.py``, whose ``build(scales, **net)`` returns a torch module with

* ``description``: a :class:`Description`;
* ``at_scale(scale)``: the net of that one scale, from a batch of RGB LR images, float NCHW in 0..255, to the RGB SR
  images of ``scale`` times their height and width, float NCHW, clamped to 0..255 in eval mode alone. Its parameters and
  buffers are those of the whole net that the scale uses, and no copies. ValueError if the net lacks the scale.

``state_dict()`` of the whole net has every parameter once.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True)
class Description:
    """The scales of a net, and the colour in which it is trained: with "Y" the loss is taken on luma alone.

    One that takes HR makes the LR image itself (``training.joint``).
    """

    scales: tuple[int, ...]
    colour: Literal["RGB", "Y"] = "RGB"
    takes: Literal["LR", "HR"] = "LR"


def build(model: str, scales: list[int], net: dict[str, Any]) -> Any:
    """Return the untrained net of ``pipeline_src/models/<model>``, initialised from torch's global generator."""
    module: nn.Module = importlib.import_module(f"pipeline_src.models.{model}").build(scales, **net)
    return module
