"""A net as the list of operations that a file holds: float, int8 with its scales, or mixed."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np


@dataclass(eq=False)
class Activation:
    """N×channels×H×W between two operations: float32, or int8 with value = scale · (q − zero_point)."""

    channels: int
    scale: float | None = None
    zero_point: int = 0


@dataclass(eq=False)
class Weights:
    """Of a convolution, O×I/groups×kh×kw: float32, or int8 in −127..127 with a scale per output channel."""

    values: np.ndarray
    scales: np.ndarray | None
    bias: np.ndarray  # float32 in either case
    stride: int
    padding: int  # zeros, on all four sides
    groups: int

    def times(self, factor: float) -> None:
        """Multiply what the convolution gives; int8 values stay as they are."""
        self.bias = self.bias * np.float32(factor)
        if self.scales is None:
            self.values = self.values * np.float32(factor)
        else:
            self.scales = self.scales * factor

    def int32_bias(self, x: Activation) -> tuple[np.ndarray, np.ndarray]:
        """The bias as int8 runtimes add it, in steps of x's scale times that of the weights; and these steps."""
        assert x.scale is not None
        assert self.scales is not None
        steps = x.scale * self.scales
        whole = np.rint(self.bias / steps)
        if abs(whole).max() >= 2**31:
            raise ValueError(f"a bias of {abs(self.bias).max():g} is no int32 in steps of {steps.min():g}")
        return whole.astype(np.int32), steps.astype(np.float32)


SLOPE = 0.1  # below zero, of leaky_relu and prelu

Kind = Literal[
    "convolution", "sum", "product", "relu", "leaky_relu", "prelu", "clamp", "concatenation", "split", "transpose",
    "depth_to_space", "mirror_pad", "nearest", "bilinear", "quantize", "dequantize",
]  # fmt: skip


@dataclass(eq=False)
class Operation:
    """``number`` is the block of depth_to_space, the pad of mirror_pad, how many times nearest and bilinear upscale.

    ``relu`` follows a convolution or a sum. A split has ``others`` besides its output, of as many channels; a transpose
    makes the channels the rows, the rows the columns, and the columns the channels.
    """

    kind: Kind
    inputs: list[Activation]
    output: Activation
    weights: Weights | None = None
    number: int = 0
    relu: bool = False
    others: list[Activation] = field(default_factory=list)


@dataclass
class Operations:
    """A net from ``inputs`` to ``outputs``, by their names in a file; its operations in the order they run.

    A super-resolution net goes from the image ``lr`` to the image ``sr``, both 0..255: int8 less 128.
    """

    inputs: dict[str, Activation] = field(default_factory=lambda: {"lr": Activation(3)})
    outputs: dict[str, Activation] = field(default_factory=dict)
    steps: list[Operation] = field(default_factory=list)


def largest_sum(net: Operations) -> int:
    """The largest sum of two neighbouring products, uint8 × int8, that any int8 convolution of the net can come to.

    Up to ``ranges.LARGEST_SUM`` the net is the same on every CPU; beyond it, one without VNNI may saturate. 0: float.
    """
    import torch

    from pipeline_src.compression.ranges import largest_pair

    layers = [step.weights.values for step in net.steps if step.weights and step.weights.scales is not None]
    return max((255 * int(largest_pair(torch.from_numpy(values)).max()) for values in layers), default=0)


def repeats_as_convolutions(net: Operations) -> Operations:
    """The net with each concatenation of one activation with itself, ABPN's anchor, as a 1×1 convolution of ones.

    The values are the same. XNNPACK copies such a concatenation three bytes at a time: a sixth of ABPN's int8 time,
    where the convolution takes next to none (the stage nodes measures both).
    """
    return replace(net, steps=[_convolution_of_ones(step) if _repeats(step) else step for step in net.steps])


def _repeats(step: Operation) -> bool:
    return step.kind == "concatenation" and len({*step.inputs}) == 1


def _convolution_of_ones(step: Operation) -> Operation:
    x, times = step.inputs[0], len(step.inputs)
    int8 = x.scale is not None
    values = np.tile(np.eye(x.channels, dtype=np.int8 if int8 else np.float32), (times, 1))[:, :, None, None]
    outputs = len(values)
    weights = Weights(values, np.ones(outputs) if int8 else None, np.zeros(outputs, np.float32), 1, 0, 1)
    return Operation("convolution", [x], step.output, weights)
