"""Translates a net's operations into the nodes of an ONNX model."""

from typing import Any, assert_never

import numpy as np

from pipeline_src.deployment.interface import Size
from pipeline_src.graph import operations as ops
from pipeline_src.graph.operations import Activation, Operation, OperationGraph

OPSET, IR_VERSION = 17, 8  # of 2022, because the runtimes on phones are not the newest
RESIZE: dict[str, dict[str, Any]] = {  # attributes of Resize, by mode
    "nearest": {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}

Elementwise = ops.Sum | ops.Product | ops.Relu | ops.LeakyRelu | ops.PRelu | ops.Clamp
Rearrangement = ops.Concatenation | ops.Split | ops.Transpose | ops.DepthToSpace | ops.SpaceToDepth | ops.Resize


def serialize(net: OperationGraph, size: Size | None = None, *, signed: bool = False) -> bytes:
    """Return the ONNX model of a net.

    In an int8 net, each activation is written as QuantizeLinear and DequantizeLinear around float operators, the form
    that ONNX Runtime and OpenVINO recognise and run in 8 bits. These activations are uint8, with the int8 zero point
    + 128, because OpenVINO computes int8 activations wrongly (16.6 dB against ONNX Runtime).

    Args:
        net: the operations. The model's inputs and outputs are tensors 1×channels×H×W, uint8 where the net's are int8,
            and float32 otherwise.
        size: the one height and width of the inputs; None for any.
        signed: write int8 activations as int8, and every bias as float32, as TensorRT demands it; the net is one of
            :func:`pipeline_src.graph.symmetric.symmetric`.
    """
    from onnx import helper

    graph = _GraphBuilder(signed)
    for name, x in (net.inputs | net.outputs).items():
        graph.names[x] = name
    for operation in net.operations:
        graph.add(operation)
    inputs = [_value_info(name, x, "", size) for name, x in net.inputs.items()]
    outputs = [_value_info(name, x, f"{name}_") for name, x in net.outputs.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "super_resolution", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="super_resolution",
    )
    return bytes(model.SerializeToString())


def _value_info(name: str, x: Activation, prefix: str, size: Size | None = None) -> Any:
    """Return the declaration of a model's input or output, whose sizes are named ``<prefix>height`` and ``…width``."""
    from onnx import TensorProto, helper

    dtype = TensorProto.FLOAT if x.scale is None else TensorProto.UINT8
    return helper.make_tensor_value_info(name, dtype, [1, x.channels, *(size or (f"{prefix}height", f"{prefix}width"))])


class _GraphBuilder:
    """An ONNX graph under construction.

    Args:
        signed: whether int8 activations are written as int8, with zero point 0, and every bias as float32.

    Attributes:
        nodes: the operators so far, in the order they run.
        constants: by their bytes and type, so that equal ones are stored once.
        names: name of the tensor of each activation.
    """

    def __init__(self, signed: bool) -> None:
        self.signed = signed
        self.nodes: list[Any] = []
        self.constants: dict[tuple[bytes, str], Any] = {}
        self.names: dict[Activation, str] = {}

    def add(self, operation: Operation) -> None:
        """Append the nodes of an operation."""
        match operation:
            case ops.MirrorPad([x], [y], pad):  # copies int8 values without dequantising them
                self._mirror_pad(self.names[x], self._name(y), pad)
            case ops.Dequantize([x], [y]):
                self.names[y] = self._dequantized(x)
            case ops.Quantize([x], [y]):
                self._quantize(self._dequantized(x), y)
            case _:
                self._add_float_operator(operation)

    def _add_float_operator(self, operation: Operation) -> None:
        """Append a float operator, its ReLU, and the quantisation of its outputs."""
        node = self._float_operator(operation, [self._dequantized(x) for x in operation.inputs])
        if isinstance(operation, ops.Convolution | ops.Sum) and operation.relu:
            (y,) = operation.outputs
            if y.scale is None or y.zero_point != -128:  # with -128, quantisation already cuts off negative values
                node = self._node("Relu", [node.output[0]])
        for i, y in enumerate(operation.outputs):
            if y.scale is None:
                node.output[i] = self._name(y)
            else:
                self._quantize(node.output[i], y)

    def _float_operator(self, operation: Operation, inputs: list[str]) -> Any:
        """Append the node of an operation from float tensors to float tensors."""
        if isinstance(operation, ops.Convolution):
            return self._convolution(operation, inputs)
        if isinstance(operation, Elementwise):
            return self._elementwise(operation, inputs)
        if isinstance(operation, Rearrangement):
            return self._rearrangement(operation, inputs)
        if isinstance(operation, ops.MirrorPad | ops.Quantize | ops.Dequantize):
            raise TypeError(f"{type(operation).__name__} is no float operator")
        assert_never(operation)

    def _convolution(self, operation: ops.Convolution, inputs: list[str]) -> Any:
        weights = operation.weights
        weight = self._constant(weights.values)
        bias = self._constant(weights.bias) if weights.scales is None or self.signed else ""
        if weights.scales is not None:
            scales = self._constant(weights.scales.astype(np.float32))
            weight = self._node("DequantizeLinear", [weight, scales], axis=0).output[0]
        if not bias:
            values, steps = (self._constant(part) for part in weights.int32_bias(operation.inputs[0]))
            bias = self._node("DequantizeLinear", [values, steps], axis=0).output[0]
        side = weights.values.shape[2]
        return self._node(
            "Conv",
            [*inputs, weight, bias],
            kernel_shape=[side, side],
            strides=[weights.stride] * 2,
            pads=[weights.padding] * 4,
            group=weights.groups,
        )

    def _elementwise(self, operation: Elementwise, inputs: list[str]) -> Any:
        match operation:
            case ops.Sum():
                return self._node("Add", inputs)
            case ops.Product():
                return self._node("Mul", inputs)
            case ops.Relu():
                return self._node("Relu", inputs)
            case ops.LeakyRelu(slope=slope):
                return self._node("LeakyRelu", inputs, alpha=slope)
            case ops.PRelu(slopes=slopes):
                return self._node("PRelu", [*inputs, self._constant(slopes.astype(np.float32)[:, None, None])])
            case ops.Clamp():
                return self._node("Clip", [*inputs, *(self._constant(np.float32(limit)) for limit in (0, 255))])
            case _:
                assert_never(operation)

    def _rearrangement(self, operation: Rearrangement, inputs: list[str]) -> Any:
        match operation:
            case ops.Concatenation():
                return self._node("Concat", inputs, axis=1)
            case ops.Split(outputs=outputs):
                return self._node("Split", inputs, outputs=len(outputs), axis=1)
            case ops.Transpose():
                return self._node("Transpose", inputs, perm=[0, 3, 1, 2])
            case ops.DepthToSpace(block=block):
                return self._node("DepthToSpace", inputs, mode="DCR", blocksize=block)
            case ops.SpaceToDepth(block=block):
                return self._node("SpaceToDepth", inputs, blocksize=block)
            case ops.Resize(mode=mode, factor=factor):
                factors = self._constant(np.array([1, 1, factor, factor], np.float32))
                return self._node("Resize", [*inputs, "", factors], **RESIZE[mode])
            case _:
                assert_never(operation)

    def _mirror_pad(self, name: str, output: str, pad: int) -> None:
        for axis in (2, 3):
            before = self._slice_backwards(name, pad - 1, -(2**31), axis)
            after = self._slice_backwards(name, -1, -1 - pad, axis)
            result = output if axis == 3 else ""
            name = self._node("Concat", [before, name, after], result, axis=axis).output[0]

    def _slice_backwards(self, name: str, start: int, end: int, axis: int) -> str:
        """Append a slice from index ``start`` down to before ``end``, and return its tensor."""
        arguments = [self._constant(np.array([value], np.int64)) for value in (start, end, axis, -1)]
        return str(self._node("Slice", [name, *arguments]).output[0])

    def _dequantized(self, x: Activation) -> str:
        """Return an activation's float tensor, dequantised again for each use: runtimes fuse it with the operator."""
        if x.scale is None:
            return self.names[x]
        return str(self._node("DequantizeLinear", [self.names[x], *self._quantization(x)]).output[0])

    def _quantize(self, name: str, y: Activation) -> None:
        self._node("QuantizeLinear", [name, *self._quantization(y)], self._name(y))

    def _quantization(self, x: Activation) -> list[str]:
        """Return the constants scale and zero point of an int8 activation."""
        zero_point = np.int8(x.zero_point) if self.signed else np.uint8(x.zero_point + 128)
        return [self._constant(np.float32(x.scale)), self._constant(zero_point)]

    def _name(self, x: Activation) -> str:
        return self.names.setdefault(x, f"activation_{len(self.names)}")

    def _node(self, op: str, inputs: list[str], output: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; its first output is called ``output``, or by default like the node."""
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        further_outputs = [f"{name}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(op, inputs, [output or name, *further_outputs], name, **attributes))
        return self.nodes[-1]

    def _constant(self, value: Any) -> str:
        """Return the name of a constant; equal ones are stored once."""
        from onnx import numpy_helper

        value = np.asarray(value)
        key = value.tobytes(), f"{value.dtype}{value.shape}"
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"constant_{len(self.constants)}")
        return str(self.constants[key].name)
