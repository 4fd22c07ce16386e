"""The operations of a net, read off its graph."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import fx

from pipeline_src.compression.folding import RELUS, RESIZES, SUMS, Convolution, constant
from pipeline_src.deployment.operations import Activation, Operation, Operations, Weights
from pipeline_src.errors import UserError

aten = torch.ops.aten
own = torch.ops.super_resolution


def read(graph: fx.GraphModule) -> Operations:
    """The operations of a graph of ``folding.fold``, or of one that ``quantization.convert`` made int8.

    A graph that is int8 but for some layers gets explicit steps from one to the other. Raises UserError, by name, for
    an operator that the files have no counterpart of.
    """
    net = _Reader(graph).net
    net.steps = list(_between_precisions(net))
    return net


def _between_precisions(net: Operations) -> Iterator[Operation]:
    """The steps of a net; where one computes in float among int8 ones, what it takes is dequantised before it."""
    floats: dict[Activation, Activation] = {}
    for step in net.steps:
        int8 = all(x.scale is not None for x in (*step.inputs, step.output))
        if int8 and not (step.weights and step.weights.scales is None):
            yield step
            continue
        for x in dict.fromkeys(step.inputs):
            if x.scale is not None and x not in floats:
                floats[x] = Activation(x.channels)
                yield Operation("dequantize", [x], floats[x])
        step.inputs = [floats.get(x, x) for x in step.inputs]
        output = step.output
        if output.scale is None:
            yield step
        else:
            step.output = Activation(output.channels)
            yield step
            yield Operation("quantize", [step.output], output)


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
                self.activations[node] = self.net.inputs["lr"]
            elif node.op == "get_attr":
                self.constants[node] = constant(graph, node).detach()
            elif node.op == "call_function":
                self._read(node, list(node.args))
            else:
                (sr,) = node.args[0]
                self.net.outputs["sr"] = self.activations[sr]
        made = {*self.net.inputs.values(), *self.makers}
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
        elif node.target in RESIZES:
            kind, factor = _resize(node, args)
            self._add(node, Operation(kind, [x], Activation(x.channels), number=factor))
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
        alone = len(before.users) == 1 and x.scale is None  # what is quantised has its own dequantisation for each user
        if maker and maker.kind in ("convolution", "sum") and alone:
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


def _resize(node: Any, args: list[Any]) -> tuple[Literal["nearest", "bilinear"], int]:
    """The kind of a resize, and how many times it upscales; UserError unless by the same whole factor on both sides."""
    kind, factors = RESIZES[node.target], args[-1]
    aligned = kind == "bilinear" and args[2]
    if aligned or not factors or len({*factors}) > 1 or factors[0] % 1:
        raise UserError(f"{node} resizes otherwise than by one whole factor, which no file has so far; change the net")
    return kind, int(factors[0])
