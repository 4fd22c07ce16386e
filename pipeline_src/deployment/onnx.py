"""ONNX files: float, and int8 as QDQ with uint8 activations (batch 1); and the runtime that they are for."""

import os
from typing import Any

import numpy as np

from pipeline_src.deployment.operations import SLOPE, Activation, Operation, Operations

OPSET, IR_VERSION = 17, 8  # of 2022: phones' runtimes are not the newest

SIMPLE: dict[str, tuple[str, dict[str, Any]]] = {  # operators without weights, and their attributes
    "sum": ("Add", {}),
    "product": ("Mul", {}),
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": SLOPE}),
    "prelu": ("PRelu", {}),
    "clamp": ("Clip", {}),
    "concatenation": ("Concat", {"axis": 1}),
    "split": ("Split", {"axis": 1}),
    "transpose": ("Transpose", {"perm": [0, 3, 1, 2]}),
    "depth_to_space": ("DepthToSpace", {"mode": "DCR"}),
    "nearest": (
        "Resize",
        {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    ),
    "bilinear": ("Resize", {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
}


def library() -> Any:
    """The module onnxruntime, without its telemetry: from 1.29 on that writes a database under the user's cache."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
    import onnxruntime

    return onnxruntime


def write(net: Operations) -> bytes:
    """ONNX file of a net: ``lr`` 1×3×H×W to ``sr`` 1×3×sH×sW in 0..255, float32, of an int8 net uint8; of any H and W.

    In an int8 net an activation is QuantizeLinear and DequantizeLinear around float operators, which is what ONNX
    Runtime and OpenVINO take to run in 8 bits. It is uint8, its zero point that of int8 + 128: OpenVINO takes int8
    activations wrongly (16.6 dB against ONNX Runtime).
    """
    from onnx import TensorProto, helper

    graph = _Graph(net)
    for name, x in (net.inputs | net.outputs).items():
        graph.names[x] = name
    for step in net.steps:
        graph.add(step)
    inputs, outputs = (
        [
            helper.make_tensor_value_info(
                name,
                TensorProto.FLOAT if x.scale is None else TensorProto.UINT8,
                [1, x.channels, *(f"{sides}{side}" for side in ("height", "width"))],
            )
            for name, x in ends.items()
        ]
        for ends, sides in ((net.inputs, ""), (net.outputs, "sr_"))
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "super_resolution", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="super_resolution",
    )
    return bytes(model.SerializeToString())


class _Graph:
    def __init__(self, net: Operations) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[tuple[bytes, str], Any] = {}
        self.names: dict[Activation, str] = {}
        self.net = net

    def add(self, step: Operation) -> None:
        if step.kind == "mirror_pad":  # moves values as they are
            self._mirror_pad(self.names[step.inputs[0]], self._name(step.output), step.number)
            return
        if step.kind == "dequantize":
            self.names[step.output] = self._float_of(step.inputs[0])
            return
        inputs = [self._float_of(x) for x in step.inputs]
        # A ReLU whose activation begins at 0 is done by quantising it.
        relu = step.relu and (step.output.scale is None or step.output.zero_point != -128)
        if step.kind == "quantize":
            self._node("QuantizeLinear", [*inputs, *self._parameters(step.output)], self._name(step.output))
            return
        node = self._convolution(step, inputs) if step.kind == "convolution" else self._simple(step, inputs)
        result = self._node("Relu", [node.output[0]]) if relu else node
        for i, x in enumerate((step.output, *step.others)):
            if x.scale is None:
                result.output[i] = self._name(x)
            else:
                self._node("QuantizeLinear", [result.output[i], *self._parameters(x)], self._name(x))

    def _simple(self, step: Operation, inputs: list[str]) -> Any:
        """The node of an operation without weights."""
        op, attributes = SIMPLE[step.kind]
        if step.kind == "clamp":
            inputs = [*inputs, *(self._constant(np.float32(end)) for end in (0, 255))]
        elif step.kind == "prelu":
            inputs = [*inputs, self._constant(np.full((step.output.channels, 1, 1), SLOPE, np.float32))]
        elif step.kind == "depth_to_space":
            attributes = attributes | {"blocksize": step.number}
        elif step.kind in ("nearest", "bilinear"):
            inputs = [*inputs, "", self._constant(np.array([1, 1, step.number, step.number], np.float32))]
        return self._node(op, inputs, outputs=1 + len(step.others), **attributes)

    def _convolution(self, step: Operation, inputs: list[str]) -> Any:
        weights = step.weights
        assert weights
        weight = self._constant(weights.values)
        if weights.scales is None:
            bias = self._constant(weights.bias)
        else:
            values, steps = (self._constant(part) for part in weights.int32_bias(step.inputs[0]))
            scales = self._constant(weights.scales.astype(np.float32))
            weight = self._node("DequantizeLinear", [weight, scales], axis=0).output[0]
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

    def _mirror_pad(self, name: str, output: str, pad: int) -> None:
        for axis in (2, 3):
            before = self._slice(name, pad - 1, -(2**31), axis)
            after = self._slice(name, -1, -1 - pad, axis)
            result = output if axis == 3 else ""
            name = self._node("Concat", [before, name, after], result, axis=axis).output[0]

    def _slice(self, name: str, start: int, end: int, axis: int) -> str:
        """Backwards, from ``start`` to before ``end``."""
        arguments = [self._constant(np.array([value], np.int64)) for value in (start, end, axis, -1)]
        return str(self._node("Slice", [name, *arguments]).output[0])

    def _float_of(self, x: Activation) -> str:
        """The activation in float; of each use its own, because runtimes match operators with what is around them."""
        if x.scale is None:
            return self.names[x]
        return str(self._node("DequantizeLinear", [self.names[x], *self._parameters(x)]).output[0])

    def _parameters(self, x: Activation) -> list[str]:
        return [self._constant(np.float32(x.scale)), self._constant(np.uint8(x.zero_point + 128))]

    def _name(self, x: Activation) -> str:
        return self.names.setdefault(x, f"activation_{len(self.names)}")

    def _node(self, op: str, inputs: list[str], output: str = "", outputs: int = 1, **attributes: Any) -> Any:
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        others = [f"{name}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(op, inputs, [output or name, *others], name, **attributes))
        return self.nodes[-1]

    def _constant(self, value: Any) -> str:
        from onnx import numpy_helper

        value = np.asarray(value)
        key = value.tobytes(), f"{value.dtype}{value.shape}"
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"constant_{len(self.constants)}")
        return str(self.constants[key].name)
