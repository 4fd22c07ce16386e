"""ABPN of github.com/NJU-Jet/SR_Mobile_Quantization, a Keras model, whose layers are known by their order.

Keras has the axes height, width, input, output. TensorFlow's depth_to_space has the channels in the order of ours.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.rules import Rule, Rules, Shape, copied

SEVERAL_SCALES = False
COLOURS = 3
SCALE_OF_PHASES = {4: 2, 9: 3, 16: 4}


def scales_of(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the scale that the outputs of the last convolution show."""
    kernels = [tensor for name, tensor in tensors.items() if name.endswith("/kernel:0")]
    scale = SCALE_OF_PHASES.get(kernels[-1].shape[-1] // COLOURS) if kernels and kernels[-1].ndim == 4 else None
    return [scale] if scale else []


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for an ABPN."""
    whole: Any = net
    layers = [name.removesuffix("/kernel:0") for name in tensors if name.endswith("/kernel:0")]
    further = (f"conv2d_{number}" for number in count(len(layers)))  # names of those that the file lacks
    ours = [f"body.{i}" for i, layer in enumerate(whole.body) if isinstance(layer, nn.Conv2d)]
    rules: list[Rule] = []
    for layer, name in zip([*layers[: len(ours)], *(next(further) for _ in ours[len(layers) :])], ours, strict=True):
        rules += [_kernel(f"{layer}/kernel:0", f"{name}.weight"), copied(f"{layer}/bias:0", f"{name}.bias")]
    return Rules(rules)


def _kernel(theirs: str, ours: str) -> Rule:
    def shape(shapes: Sequence[Shape]) -> Shape:
        outputs, inputs, height, width = shapes[0]
        return height, width, inputs, outputs

    return Rule(theirs, (ours,), lambda kernel: [kernel.permute(3, 2, 0, 1)], shape)
