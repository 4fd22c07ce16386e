"""Large nets that begin as plain ones (Net2Net, Chen et al., ICLR 2016, arXiv 1511.05641).

A plain net is a stack of 3×3 convolutions. A wide net holds one of them, or several side by side, each in channels of
its own, next to the RGB image. Written into a larger net so, the plain nets give the same images as before, and
training goes on from their quality instead of from noise. Free channels and layers are what the larger net adds.

A model whose nets can begin so has a function ``grow(net, plains, images)`` in its package.
"""

import importlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from pipeline_src.models import SuperResolutionNet
from pipeline_src.models.layers.plain import PlainStack


@runtime_checkable
class PlainNet(Protocol):
    """A net that is a stack of 3×3 convolutions."""

    def plain(self) -> PlainStack:
        """Return its convolutions.

        Raises:
            ValueError: if this one consists of more than convolutions and an anchor.
        """


def grow(model: str, net: SuperResolutionNet, parents: Sequence[SuperResolutionNet], images: Tensor) -> None:
    """Write plain nets into an untrained net, so that it gives the same images as they do at each scale.

    Args:
        model: the package of ``pipeline_src.models`` that built ``net``.
        net: changed in place.
        parents: nets of the packages ``abpn`` and ``once_for_all``; the first one that has a scale serves it.
        images: N×3×H×W RGB in 0..255, LR images on which batch norm takes its statistics.

    Raises:
        ValueError: if the model cannot hold plain nets, a parent is none, they do not fit, or a scale is missing.
    """
    package = importlib.import_module(f"pipeline_src.models.{model}")
    if not hasattr(package, "grow"):
        raise ValueError(f"{model} cannot hold plain nets; leave out `grow`")
    for parent in parents:
        if not isinstance(parent, PlainNet):
            raise ValueError(f"{type(parent).__name__} is no stack of 3×3 convolutions, as nets of abpn are")
    plains = [parent.plain() for parent in parents if isinstance(parent, PlainNet)]
    served = {scale for plain in plains for scale in plain.last}
    missing = [scale for scale in net.description.scales if scale not in served]
    if missing:
        raise ValueError(f"none of the plain nets upscales ×{missing[0]}")
    package.grow(net, plains, images)
