"""EDSR as its authors save it (github.com/sanghyun-son/EDSR-PyTorch), and CAR's upscaler, which has the same layers.

The authors' nets take pixels in 0..255, and CAR's in 0..1, as ours. Between the two mean shifts all operators are
convolutions, ReLU and sums, so a net for pixels in 0..255 is one for 0..1 when all biases are divided by 255.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.rules import Rules, conv, mean_shift, pixel_range, pixel_shuffled

SEVERAL_SCALES = False
AUTHORS_RANGE = 255.0
SCALE_OF_STEP = {4: 2, 9: 3}  # by the number of phases


def scales_of(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the scale that the upsampler shows."""
    first = tensors.get("tail.0.0.weight")
    if first is None or first.ndim != 4 or not first.shape[1]:
        return []
    if "tail.0.2.weight" in tensors:
        return [4]
    scale = SCALE_OF_STEP.get(first.shape[0] // first.shape[1])
    return [scale] if scale else []


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for an EDSR."""
    whole: Any = net
    pixels = pixel_range(tensors, "sub_mean", AUTHORS_RANGE)
    bias = 1 / pixels
    rules = mean_shift("sub_mean", "sub_mean.0", -1, pixels) + mean_shift("add_mean", "add_mean.0", 1, pixels)
    rules += conv("head.0", "head", bias)
    blocks = len(whole.body) - 1
    for i in range(blocks):
        for k in (0, 2):
            rules += conv(f"body.{i}.body.{k}", f"body.{i}.body.{k}", bias)
    rules += conv(f"body.{blocks}", f"body.{blocks}", bias)
    for step in range(len(whole.upscale)):
        rules += pixel_shuffled(f"tail.0.{2 * step}", f"upscale.{step}", net, bias)
    return Rules(rules + conv("tail.1", "tail", bias))
