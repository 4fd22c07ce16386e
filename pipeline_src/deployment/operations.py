"""A net as the list of operations that a file holds, read off its graph: float, or int8 with its scales."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import fx

from pipeline_src.compression.folding import RELUS, SUMS, Convolution, constant
from pipeline_src.errors import UserError

aten = torch.ops.aten
own = torch.ops.super_resolution


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
        return np.rint(self.bias / steps).astype(np.int32), steps.astype(np.float32)


@dataclass(eq=False)
class Operation:
    """``number`` is the block of depth_to_space, the pad of mirror_pad; ``relu`` follows a convolution or a sum."""

    kind: Literal["convolution", "sum", "relu", "concatenation", "depth_to_space", "mirror_pad", "clamp"]
    inputs: list[Activation]
    output: Activation
    weights: Weights | None = None
    number: int = 0
    relu: bool = False


@dataclass
class Operations:
    """A net from the image ``lr`` to the image ``sr``, both 0..255; its operations in the order they run."""

    lr: Activation = field(default_factory=lambda: Activation(3))
    sr: Activation = field(default_factory=lambda: Activation(3))
    steps: list[Operation] = field(default_factory=list)


def read(graph: fx.GraphModule) -> Operations:
    """The operations of a graph of ``folding.fold``, or of one that ``quantization.convert`` made int8.

    Raises UserError, by name, for an operator that the files have no counterpart of.
    """
    return _Reader(graph).net


class _Reader:
    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.net = Operations()
        self.activations: dict[fx.Node, Activation] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.makers: dict[Activation, Operation] = {}
        node: Any
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self.activations[node] = self.net.lr
            elif node.op == "get_attr":
                self.constants[node] = constant(graph, node).detach()
            elif node.op == "call_function":
                self._read(node, list(node.args))
            else:
                (sr,) = node.args[0]
                self.net.sr = self.activations[sr]
        made = {self.net.lr, *self.makers}
        assert all(x in made for step in self.net.steps for x in step.inputs)

    def _read(self, node: Any, args: list[Any]) -> None:
        x: Any = self.activations.get(args[0]) if isinstance(args[0], fx.Node) else None
        int8 = str(node.target).removeprefix("quantized_decomposed.")  # known by name: these exist once torchao does
        if int8 == "quantize_per_channel.default":
            q = node.target(*(self.constants.get(argument, argument) for argument in args))
            self.constants[node] = q, self.constants[args[1]]
        elif int8 == "dequantize_per_channel.default":
            self.constants[node] = self.constants[args[0]]
        elif int8 == "quantize_per_tensor.default":
            self._quantize(node, x, float(args[1]), int(args[2]))
        elif int8 == "dequantize_per_tensor.default":
            self.activations[node] = x
        elif node.target is aten.conv2d.default:
            weights = self._weights(Convolution(*args))
            self._add(node, Operation("convolution", [x], Activation(len(weights.values)), weights))
        elif node.target in SUMS:
            terms = [self.activations[term] for term in args[:2]]
            self._add(node, Operation("sum", terms, Activation(max(term.channels for term in terms))))
        elif node.target in RELUS:
            self._rectify(node, args[0], x)
        elif node.target is aten.cat.default:
            parts = [self.activations[part] for part in args[0]]
            self._add(node, Operation("concatenation", parts, Activation(sum(part.channels for part in parts))))
        elif node.target is own.depth_to_space.default:
            sr = Activation(x.channels // args[1] ** 2)
            self._add(node, Operation("depth_to_space", [x], sr, number=args[1]))
        elif node.target is own.mirror_pad.default:
            self._add(node, Operation("mirror_pad", [x], Activation(x.channels), number=args[1]))
        elif node.target is aten.clamp.default and args[1:] == [0, 255]:
            self._add(node, Operation("clamp", [x], Activation(x.channels)))
        elif node.target is aten.mul.Tensor and isinstance(args[1], float):
            self._multiply(node, x, args[1])
        else:
            raise UserError(f"no exported file has the operator {node.target} so far; choose a net without it")

    def _add(self, node: fx.Node, operation: Operation) -> None:
        self.net.steps.append(operation)
        self.activations[node] = operation.output
        self.makers[operation.output] = operation

    def _weights(self, conv: Convolution) -> Weights:
        weight = self.constants[conv.weight]
        values, scales = weight if isinstance(weight, tuple) else (weight, None)
        bias = np.zeros(len(values), np.float32) if conv.bias is None else self.constants[conv.bias].numpy()
        if list(conv.dilation) != [1, 1] or len({*conv.stride}) > 1 or len({*conv.padding}) > 1:
            raise UserError(
                f"a convolution of stride {conv.stride}, padding {conv.padding} and dilation {conv.dilation} "
                "cannot be exported so far; choose a net without it"
            )
        return Weights(
            np.ascontiguousarray(values.numpy()),
            None if scales is None else scales.double().numpy(),
            bias,
            conv.stride[0],
            conv.padding[0],
            conv.groups,
        )

    def _rectify(self, node: fx.Node, before: fx.Node, x: Activation) -> None:
        maker = self.makers.get(x)
        if maker and maker.kind in ("convolution", "sum") and len(before.users) == 1:
            maker.relu = True
            self.activations[node] = x
        else:
            self._add(node, Operation("relu", [x], Activation(x.channels)))

    def _quantize(self, node: fx.Node, x: Activation, scale: float, zero_point: int) -> None:
        if x.scale is None:
            x.scale, x.zero_point = scale, zero_point
        elif (x.scale, x.zero_point) != (scale, zero_point):
            raise ValueError(f"{node} rescales an int8 activation; let the quantizer share its parameters")
        self.activations[node] = x

    def _multiply(self, node: fx.Node, x: Activation, factor: float) -> None:
        """A factor costs nothing: it goes into the weights, and where they are int8 into their scales."""
        maker = self.makers.pop(x, None)
        if not maker or not maker.weights or any(x in step.inputs for step in self.net.steps):
            raise ValueError(f"{node} multiplies what no convolution made for it alone")
        maker.weights.times(factor)
        maker.output = self.activations[node] = Activation(x.channels)
        self.makers[maker.output] = maker
