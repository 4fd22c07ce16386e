"""The reader of a net's torch graph: from fx nodes to the operations that file formats are written from."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import fx

from pipeline_src.errors import UserError
from pipeline_src.graph.folding import RELUS, RESIZES, SUMS, Conv2dArguments, constant
from pipeline_src.graph.operations import (
    Activation,
    Clamp,
    Concatenation,
    Convolution,
    DepthToSpace,
    Dequantize,
    MirrorPad,
    Operation,
    OperationGraph,
    Quantize,
    Relu,
    Resize,
    SpaceToDepth,
    Sum,
    Weights,
)

aten = torch.ops.aten
own = torch.ops.super_resolution

QUANTIZED = "quantized_decomposed."  # operators known by name, because they exist only once torchao is imported


def read(graph: fx.GraphModule, ends: tuple[str, str] = ("lr", "sr")) -> OperationGraph:
    """Return the operations of a graph of ``folding.fold``, or of one that ``quantization.convert`` made int8.

    In an int8 graph with some layers in float, explicit operations quantise and dequantise around these.

    Args:
        graph: The graph.
        ends: Names of the input and the output image.

    Raises:
        UserError: If the graph has an operator that the file formats have no counterpart of.
    """
    net = _Reader(graph, *ends).net
    net.operations = list(_with_conversions(net))
    return net


def _with_conversions(net: OperationGraph) -> Iterator[Operation]:
    """Yield the operations of a net, with a dequantisation before and a quantisation behind those in float."""
    dequantized: dict[Activation, Activation] = {}
    for operation in net.operations:
        if _is_int8(operation):
            yield operation
            continue
        for x in dict.fromkeys(operation.inputs):
            if x.scale is not None and x not in dequantized:
                dequantized[x] = Activation(x.channels)
                yield Dequantize([x], [dequantized[x]])
        operation.inputs = [dequantized.get(x, x) for x in operation.inputs]
        (output,) = operation.outputs
        if output.scale is None:
            yield operation
        else:
            operation.outputs = [Activation(output.channels)]
            yield operation
            yield Quantize(operation.outputs, [output])


def _is_int8(operation: Operation) -> bool:
    if isinstance(operation, Convolution) and operation.weights.scales is None:
        return False
    return all(x.scale is not None for x in (*operation.inputs, *operation.outputs))


class _Reader:
    """Reads a graph node by node.

    Attributes:
        net: The operations read so far.
        activations: The activation that each node read so far makes.
        constants: The constant that each node read so far gives: a tensor, or int8 values and scales of weights.
        makers: The operation that makes each activation.
    """

    def __init__(self, graph: fx.GraphModule, input_name: str, output_name: str) -> None:
        self.net = OperationGraph({input_name: Activation(3)})
        self.activations: dict[fx.Node, Activation] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.makers: dict[Activation, Operation] = {}
        node: Any
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self.activations[node] = self.net.image
            elif node.op == "get_attr":
                self.constants[node] = constant(graph, node).detach()
            elif node.op == "call_function":
                if str(node.target).startswith(QUANTIZED):
                    self._read_quantization(node, list(node.args))
                else:
                    self._read_operator(node, list(node.args))
            else:
                (image,) = node.args[0]
                self.net.outputs[output_name] = self.activations[image]
        available = {*self.net.inputs.values(), *self.makers}
        assert all(x in available for operation in self.net.operations for x in operation.inputs)

    def _read_quantization(self, node: Any, args: list[Any]) -> None:
        match str(node.target).removeprefix(QUANTIZED):
            case "quantize_per_channel.default":
                values = node.target(*(self.constants.get(argument, argument) for argument in args))
                self.constants[node] = values, self.constants[args[1]]
            case "dequantize_per_channel.default":
                self.constants[node] = self.constants[args[0]]
            case "quantize_per_tensor.default":
                self._quantize(node, self.activations[args[0]], float(args[1]), int(args[2]))
            case "dequantize_per_tensor.default":
                self.activations[node] = self.activations[args[0]]
            case _:
                raise _unsupported(node)

    def _read_operator(self, node: Any, args: list[Any]) -> None:
        if node.target in SUMS:
            terms = [self.activations[term] for term in args[:2]]
            self._add(node, Sum(terms, [Activation(max(term.channels for term in terms))]))
            return
        if node.target is aten.cat.default:
            parts = [self.activations[part] for part in args[0]]
            self._add(node, Concatenation(parts, [Activation(sum(part.channels for part in parts))]))
            return
        x = self.activations.get(args[0]) if args and isinstance(args[0], fx.Node) else None
        if x is None:
            raise _unsupported(node)
        if node.target is aten.conv2d.default:
            weights = self._weights(Conv2dArguments(*args))
            self._add(node, Convolution([x], [Activation(len(weights.values))], weights))
        elif node.target in RELUS:
            self._rectify(node, args[0], x)
        elif node.target is aten.mul.Tensor and isinstance(args[1], float):
            self._multiply(node, x, args[1])
        else:
            self._read_plain_operator(node, x, args)

    def _read_plain_operator(self, node: Any, x: Activation, args: list[Any]) -> None:
        """Read an operator that has one input, no weights, and an operation of its own."""
        if node.target is own.depth_to_space.default:
            self._add(node, DepthToSpace([x], [Activation(x.channels // args[1] ** 2)], args[1]))
        elif node.target is own.space_to_depth.default:
            self._add(node, SpaceToDepth([x], [Activation(x.channels * args[1] ** 2)], args[1]))
        elif node.target is own.mirror_pad.default:
            self._add(node, MirrorPad([x], [Activation(x.channels)], args[1]))
        elif node.target in RESIZES:
            self._add(node, Resize([x], [Activation(x.channels)], RESIZES[node.target], _resize_factor(node, args)))
        elif node.target is aten.clamp.default and args[1:] == [0, 255]:
            self._add(node, Clamp([x], [Activation(x.channels)]))
        else:
            raise _unsupported(node)

    def _add(self, node: fx.Node, operation: Operation) -> None:
        (output,) = operation.outputs
        self.net.operations.append(operation)
        self.activations[node] = output
        self.makers[output] = operation

    def _weights(self, conv: Conv2dArguments) -> Weights:
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
        # A quantised activation has one dequantisation per reader, so there the number of users means nothing.
        only_reader = len(before.users) == 1 and x.scale is None
        if isinstance(maker, Convolution | Sum) and only_reader:
            maker.relu = True
            self.activations[node] = x
        else:
            self._add(node, Relu([x], [Activation(x.channels)]))

    def _quantize(self, node: fx.Node, x: Activation, scale: float, zero_point: int) -> None:
        if x.scale is None:
            x.scale, x.zero_point = scale, zero_point
        elif (x.scale, x.zero_point) != (scale, zero_point):
            raise ValueError(f"{node} rescales an int8 activation; let the quantizer share its parameters")
        self.activations[node] = x

    def _multiply(self, node: fx.Node, x: Activation, factor: float) -> None:
        """Fold a factor into the convolution before it, where it costs nothing."""
        maker = self.makers.pop(x, None)
        is_read = any(x in operation.inputs for operation in self.net.operations)
        if not isinstance(maker, Convolution) or is_read:
            raise ValueError(f"{node} multiplies what no convolution made for it alone")
        maker.weights.multiply(factor)
        product = self.activations[node] = Activation(x.channels)
        maker.outputs = [product]
        self.makers[product] = maker


def _unsupported(node: Any) -> UserError:
    return UserError(f"no exported file has the operator {node.target} so far; choose a net without it")


def _resize_factor(node: Any, args: list[Any]) -> int:
    """Return the factor of a resize; UserError unless it is the same whole number in both directions."""
    factors = args[-1]
    aligned = RESIZES[node.target] == "bilinear" and args[2]
    if aligned or not factors or len({*factors}) > 1 or factors[0] % 1:
        raise UserError(f"{node} resizes otherwise than by one whole factor, which no file has so far; change the net")
    return int(factors[0])
