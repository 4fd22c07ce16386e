"""What makes the LR image: each package here is one way, named by ``downscaler.model`` of a system in ``params.yaml``.

``bicubic`` is the protocol's, which ``train.h5`` holds and the evaluation makes; it learns nothing. One that learns has

* ``build(scales, **net)``: an untrained module from HR, float NCHW in 0..255 of any size, to LR of 1/scale of the size
  rounded up, not rounded to 8 bits, and how it was sampled, with ``offset_distance()`` and ``partial_variation()``,
  what may be added to the loss; it has ``scale``, and ``in_standard_operators()``, itself as files can have it;
* ``downscale(net, hr)``: LR, uint8 h×w×3 or h×w, of an HR image, uint8 H×W×3 or H×W, whatever its size.

:mod:`pipeline_src.training.joint` trains it together with the net that upscales.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def build(model: str, scales: list[int], net: dict[str, Any]) -> Any:
    """The untrained downscaler ``model``, which must be one that learns, from torch's global generator."""
    return importlib.import_module(f"{__name__}.{model}").build(scales, **net)


def downscale(model: str, net: Any, hr: "np.ndarray") -> "np.ndarray":
    """The LR image that a trained ``net`` of the downscaler ``model`` makes of an HR image, both uint8 (see above)."""
    lr: np.ndarray = importlib.import_module(f"{__name__}.{model}").downscale(net, hr)
    return lr
