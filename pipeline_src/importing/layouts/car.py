"""CAR's downscaler, ``kgn``, as its authors save it (github.com/sunwj/CAR); the MindSpore port has the same names."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.rules import Rule, Rules, conv, mean_shift, pixel_range

SEVERAL_SCALES = False
SCALE_OF_TAPS = {49: 2, 169: 4}  # by the taps of a kernel
TRUNK = {"1": "0", "4": "2", "7": "4", "9.upsample.0": "6", "11": "8"}  # places of the convolutions: theirs, ours
HEAD = {"1": "0", "4": "2"}


def scales_of(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the scale that the number of taps shows."""
    last = tensors.get("kernels_weight.4.bias")
    scale = SCALE_OF_TAPS.get(last.numel()) if last is not None else None
    return [scale] if scale else []


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for a downscaler with offsets."""
    whole: Any = net
    rules = mean_shift("sub_mean", "sub_mean.0", -1, pixel_range(tensors, "sub_mean", 1))
    rules += conv("ds_1.1", "stem.0") + conv("ds_2.downsample.1", "stem.3") + conv("ds_4.downsample.1", "stem.5")
    for i in range(len(whole.blocks)):
        rules += _convs(f"res_4.{i}.transform", f"blocks.{i}.body", HEAD)
    rules += conv("ds_8.downsample.1", "squeeze.1")
    rules += _convs("kernels_trunk", "kernel_trunk", TRUNK) + _convs("offsets_trunk", "offset_trunk", TRUNK)
    rules += _convs("kernels_weight", "kernels", HEAD)
    rules += _convs("offsets_h_generation", "across", HEAD) + _convs("offsets_v_generation", "down", HEAD)
    return Rules(rules)


def _convs(theirs: str, ours: str, places: Mapping[str, str]) -> list[Rule]:
    return [rule for at, place in places.items() for rule in conv(f"{theirs}.{at}", f"{ours}.{place}")]
