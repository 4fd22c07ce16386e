"""CARN and CARN-M as their authors save them (github.com/nmhkahn/CARN-pytorch)."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.rules import Rule, Rules, conv, mean_shift, pixel_range, pixel_shuffled

SEVERAL_SCALES = True
SCALES = (2, 3, 4)
ALONE = "upsample.up.body"  # the upsampler of a net of one scale
SCALE_OF_STEP = {4: 2, 9: 3}  # by the number of phases


def scales_of(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the scales of which the file has an upsampler."""
    first = tensors.get(f"{ALONE}.0.weight")
    if first is None or first.ndim != 4 or not first.shape[0]:
        return [scale for scale in SCALES if f"upsample.up{scale}.body.0.weight" in tensors]
    if f"{ALONE}.3.weight" in tensors:
        return [4]
    scale = SCALE_OF_STEP.get(first.shape[0] // (tensors["entry.weight"].shape[0] if "entry.weight" in tensors else 64))
    return [scale] if scale else []


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for a CARN, or a CARN-M, whose blocks have one unit that is used three times."""
    whole: Any = net
    rules = shared_rules(net, scales, tensors)
    for i, block in enumerate(whole.body.blocks):
        for j, unit in enumerate(block.blocks):
            layers = [k for k, layer in enumerate(unit.body) if isinstance(layer, nn.Conv2d)]
            for k in layers:
                rules += conv(f"b{i + 1}.b{j + 1}.body.{k}", f"body.blocks.{i}.blocks.{j}.body.{k}")
        for j in range(len(block.fusions)):
            rules += conv(f"b{i + 1}.c{j + 1}.body.0", f"body.blocks.{i}.fusions.{j}")
    return Rules(rules, unused_upsamplers(scales, tensors))


def shared_rules(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> list[Rule]:
    """Return the rules of what ECDN has too: all but the blocks of the cascade."""
    whole: Any = net
    pixels = pixel_range(tensors, "sub_mean.shifter", 1)
    rules = mean_shift("sub_mean.shifter", "sub_mean.0", -1, pixels)
    rules += mean_shift("add_mean.shifter", "add_mean.0", 1, pixels)
    rules += conv("entry", "head") + conv("exit", "tail")
    for i in range(len(whole.body.fusions)):
        rules += conv(f"c{i + 1}.body.0", f"body.fusions.{i}")
    for scale in scales:
        body = ALONE if f"{ALONE}.0.weight" in tensors else f"upsample.up{scale}.body"
        for step in range(len(whole.upscale[str(scale)])):
            rules += pixel_shuffled(f"{body}.{3 * step}", f"upscale.{scale}.{step}", net)
    return rules


def unused_upsamplers(scales: list[int], tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return patterns of the upsamplers of scales that are in the file and not asked for."""
    return tuple(rf"{re.escape(f'upsample.up{scale}.')}.*" for scale in scales_of(tensors) if scale not in scales)
