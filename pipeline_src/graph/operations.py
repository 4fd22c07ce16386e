"""A net as a list of typed operations, from which every file format is written: float, int8, or mixed.

Each operation is a dataclass with its ``inputs`` and ``outputs``, the activations that it reads and makes, and its
parameters. Activations have no height and width, because a net takes images of any size.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np


@dataclass(eq=False)
class Activation:
    """A tensor N×channels×H×W between two operations.

    It is float32 if ``scale`` is None, otherwise int8 with value = scale · (q − zero_point).
    """

    channels: int
    scale: float | None = None
    zero_point: int = 0


@dataclass(eq=False)
class Weights:
    """Weights of a convolution.

    Attributes:
        values: O×I/groups×kh×kw, float32, or int8 in −127..127.
        scales: of int8 weights, value of one step per output channel; None for float32.
        bias: O values, float32 in either case.
        stride: the same in both directions.
        padding: rows and columns of zeros on each of the four sides.
        groups: groups of channels that are convolved independently.
    """

    values: np.ndarray
    scales: np.ndarray | None
    bias: np.ndarray
    stride: int
    padding: int
    groups: int

    def multiply(self, factor: float) -> None:
        """Scale the output of the convolution; int8 values stay as they are, their scales change."""
        self.bias = self.bias * np.float32(factor)
        if self.scales is None:
            self.values = self.values * np.float32(factor)
        else:
            self.scales = self.scales * factor

    def int32_bias(self, x: Activation) -> tuple[np.ndarray, np.ndarray]:
        """Return the bias as int8 runtimes add it: int32 values, and the step of each channel.

        A step is the scale of the input ``x`` times that of the channel's weights.

        Raises:
            ValueError: if a bias exceeds the range of int32.
        """
        assert x.scale is not None
        assert self.scales is not None
        steps = x.scale * self.scales
        rounded = np.rint(self.bias / steps)
        if abs(rounded).max() >= 2**31:
            raise ValueError(f"a bias of {abs(self.bias).max():g} is no int32 in steps of {steps.min():g}")
        return rounded.astype(np.int32), steps.astype(np.float32)


@dataclass(eq=False)
class Convolution:
    """A convolution of one input, followed by a ReLU if ``relu``."""

    inputs: list[Activation]
    outputs: list[Activation]
    weights: Weights
    relu: bool = False


@dataclass(eq=False)
class Sum:
    """The sum of two inputs, followed by a ReLU if ``relu``."""

    inputs: list[Activation]
    outputs: list[Activation]
    relu: bool = False


@dataclass(eq=False)
class Product:
    """The product of two inputs, value by value."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class Relu:
    """max(x, 0), as an operation of its own where it cannot be part of the one before it."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class LeakyRelu:
    """x where it is positive, ``slope`` · x where it is negative."""

    inputs: list[Activation]
    outputs: list[Activation]
    slope: float


@dataclass(eq=False)
class PRelu:
    """A :class:`LeakyRelu` with a slope for each channel, not all of them 0."""

    inputs: list[Activation]
    outputs: list[Activation]
    slopes: np.ndarray


@dataclass(eq=False)
class Clamp:
    """Values limited to 0..255, those of an image."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class Concatenation:
    """The channels of all inputs, in their order."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class Split:
    """The channels of the input in equal parts, one for each output."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class Transpose:
    """Channels become rows, rows become columns, and columns become channels."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class DepthToSpace:
    """``block``² groups of channels as the pixels of ``block``×``block`` squares, in the order of TensorFlow (DCR)."""

    inputs: list[Activation]
    outputs: list[Activation]
    block: int


@dataclass(eq=False)
class SpaceToDepth:
    """``block``×``block`` squares of pixels as ``block``² groups of channels, in the order of :class:`DepthToSpace`."""

    inputs: list[Activation]
    outputs: list[Activation]
    block: int


@dataclass(eq=False)
class MirrorPad:
    """``pad`` more rows and columns on each side, mirrored so that the border pixel is repeated."""

    inputs: list[Activation]
    outputs: list[Activation]
    pad: int


@dataclass(eq=False)
class Resize:
    """Upscaling by a whole ``factor``: nearest neighbour, or bilinear with half-pixel centres."""

    inputs: list[Activation]
    outputs: list[Activation]
    mode: Literal["nearest", "bilinear"]
    factor: int


@dataclass(eq=False)
class Quantize:
    """Float32 to int8."""

    inputs: list[Activation]
    outputs: list[Activation]


@dataclass(eq=False)
class Dequantize:
    """Int8 to float32."""

    inputs: list[Activation]
    outputs: list[Activation]


Operation = (
    Convolution | Sum | Product | Relu | LeakyRelu | PRelu | Clamp | Concatenation | Split | Transpose | DepthToSpace
    | SpaceToDepth | MirrorPad | Resize | Quantize | Dequantize
)  # fmt: skip


def _image_input() -> dict[str, Activation]:
    return {"lr": Activation(3)}


@dataclass
class OperationGraph:
    """A net.

    Attributes:
        inputs: Activations by their names in a file; a net of images has one of 0..255, ``lr``, or ``hr`` of a
            downscaler.
        outputs: Likewise; a net of images has ``sr``, or ``lr`` of a downscaler. In int8 both images are less 128.
        operations: In the order in which they run.
    """

    inputs: dict[str, Activation] = field(default_factory=_image_input)
    outputs: dict[str, Activation] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)

    @property
    def image(self) -> Activation:
        """The input of a net of images."""
        (image,) = self.inputs.values()
        return image

    @property
    def multiple(self) -> int:
        """Pixels of which height and width of the input must be multiples."""
        return math.lcm(*(operation.block for operation in self.operations if isinstance(operation, SpaceToDepth)))


def repeats_as_convolutions(net: OperationGraph) -> OperationGraph:
    """Replace each concatenation of an activation with itself, ABPN's anchor, by a 1×1 convolution of ones.

    The values are the same. XNNPACK copies such a concatenation three bytes at a time: a sixth of ABPN's int8 time,
    where the convolution takes next to none (the stage operators measures both).
    """
    return replace(net, operations=[_without_repeats(operation) for operation in net.operations])


def _without_repeats(operation: Operation) -> Operation:
    match operation:
        case Concatenation(inputs=[x, *others]) if all(other is x for other in others):
            return Convolution([x], operation.outputs, _repeating_weights(x, 1 + len(others)))
        case _:
            return operation


def _repeating_weights(x: Activation, times: int) -> Weights:
    int8 = x.scale is not None
    values = np.tile(np.eye(x.channels, dtype=np.int8 if int8 else np.float32), (times, 1))[:, :, None, None]
    outputs = len(values)
    scales = np.ones(outputs) if int8 else None
    return Weights(values, scales, np.zeros(outputs, np.float32), stride=1, padding=0, groups=1)
