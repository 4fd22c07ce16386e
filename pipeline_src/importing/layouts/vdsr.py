"""VDSR of github.com/twtygqyy/pytorch-vdsr, whose files hold the whole module, in its two versions."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.rules import Rules, copied

SEVERAL_SCALES = True


def scales_of(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return all scales that the net was trained for, with the same weights."""
    return [2, 3, 4]


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for a VDSR."""
    whole: Any = net
    ours = [f"body.{i}.weight" for i, layer in enumerate(whole.body) if isinstance(layer, nn.Conv2d)]
    if any(name.startswith("features.") for name in tensors):  # the first version
        theirs = [name.replace("body", "features") for name in ours]
    else:
        inner = [f"residual_layer.{i}.conv.weight" for i in range(len(ours) - 2)]
        theirs = ["input.weight", *inner, "output.weight"]
    return Rules([copied(*names) for names in zip(theirs, ours, strict=True)])
