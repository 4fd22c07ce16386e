"""ONNX files: float, and int8 as QDQ with uint8 activations (batch 1); and ONNX Runtime, which runs them."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from pipeline_src.deployment import examples
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.deployment.interface import (
    TRIAL_SIZE,
    ModelFile,
    Operator,
    Runner,
    Size,
    cannot_open,
    in_short,
)
from pipeline_src.errors import UserError
from pipeline_src.graph import operations as ops
from pipeline_src.graph.operations import Activation, Operation, OperationGraph, Weights
from pipeline_src.graph.saturation import LARGEST_SUM

if TYPE_CHECKING:
    from torch import Tensor, nn

LABEL = "ONNX"
SUFFIX = ".onnx"
LIBRARIES: tuple[str, ...] = ("torch", "torchao", "onnx", "onnxruntime")
RUNTIME = "onnxruntime"

OPSET, IR_VERSION = 17, 8  # of 2022: the runtimes of phones are not the newest
RESIZE: dict[str, dict[str, Any]] = {  # attributes of Resize, by mode
    "nearest": {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}

# The session option that makes int8 sums exact on CPUs without VNNI. It costs much of the speed on a CPU with VNNI
# (benchmarks/int8_on_this_cpu.py), so it is set for files that need it alone.
EXACT_OPTION = "session.x64quantprecision"

EXAMPLE = """import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import
import onnxruntime

options = onnxruntime.SessionOptions(){exact}
session = onnxruntime.InferenceSession("{file}", options)
sr = session.run(None, {{"lr": {lr}.transpose(2, 0, 1)[None]}})[0][0].transpose(1, 2, 0)"""
INEXACT = """
# This file is the same net on every CPU: it needs no session option x64quantprecision, which would be slower."""
EXACT = f"""
options.add_session_config_entry("{EXACT_OPTION}", "1")  # exact on CPUs without VNNI too"""


def library() -> Any:
    """Return the module onnxruntime, without its telemetry: from 1.29 on, that writes a database under ~/.cache."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
    import onnxruntime

    return onnxruntime


# --- writing


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>.onnx``, which takes images of any size."""
    file = folder / f"{stem}{SUFFIX}"
    write(net, file)
    return [ModelFile(file, tensor_spec(net))]


def tensor_spec(net: OperationGraph) -> TensorSpec:
    """Return the image at either end of a net's file."""
    return TensorSpec("float32" if net.inputs["lr"].scale is None else "uint8", "NCHW")


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that takes any size; ``size`` is ignored."""
    file.write_bytes(serialize(net))


def serialize(net: OperationGraph) -> bytes:
    """Return the ONNX model of a net: tensors 1×channels×H×W of any H and W, float32, or uint8 for int8 activations.

    In an int8 net an activation is QuantizeLinear and DequantizeLinear around float operators, which is what ONNX
    Runtime and OpenVINO take to run in 8 bits. It is uint8, its zero point that of int8 + 128: OpenVINO takes int8
    activations wrongly (16.6 dB against ONNX Runtime).
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    for name, x in (net.inputs | net.outputs).items():
        graph.names[x] = name
    for operation in net.operations:
        graph.add(operation)
    inputs, outputs = (
        [
            helper.make_tensor_value_info(
                name,
                TensorProto.FLOAT if x.scale is None else TensorProto.UINT8,
                [1, x.channels, *(f"{prefix}{side}" for side in ("height", "width"))],
            )
            for name, x in activations.items()
        ]
        for activations, prefix in ((net.inputs, ""), (net.outputs, "sr_"))
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "super_resolution", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="super_resolution",
    )
    return bytes(model.SerializeToString())


class _Graph:
    """An ONNX graph under construction: its nodes and constants, and the name of the tensor of each activation."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[tuple[bytes, str], Any] = {}
        self.names: dict[Activation, str] = {}

    def add(self, operation: Operation) -> None:
        match operation:
            case ops.MirrorPad([x], [y], pad):  # copies values as they are, int8 ones too
                self._mirror_pad(self.names[x], self._name(y), pad)
            case ops.Dequantize([x], [y]):
                self.names[y] = self._float_of(x)
            case ops.Quantize([x], [y]):
                self._quantize(self._float_of(x), y)
            case _:
                self._compute(operation)

    def _compute(self, operation: Operation) -> None:
        """Add an operator in float, and what quantises its outputs."""
        node = self._operator(operation, [self._float_of(x) for x in operation.inputs])
        if isinstance(operation, ops.Convolution | ops.Sum) and operation.relu:
            (y,) = operation.outputs
            if y.scale is None or y.zero_point != -128:  # else quantisation cuts off what is below 0
                node = self._node("Relu", [node.output[0]])
        for i, y in enumerate(operation.outputs):
            if y.scale is None:
                node.output[i] = self._name(y)
            else:
                self._quantize(node.output[i], y)

    def _operator(self, operation: Operation, inputs: list[str]) -> Any:
        """The node of an operation from and to float tensors."""
        match operation:
            case ops.Convolution(weights=weights):
                return self._convolution(operation.inputs[0], weights, inputs)
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
                return self._node("Clip", [*inputs, *(self._constant(np.float32(end)) for end in (0, 255))])
            case ops.Concatenation():
                return self._node("Concat", inputs, axis=1)
            case ops.Split(outputs=outputs):
                return self._node("Split", inputs, outputs=len(outputs), axis=1)
            case ops.Transpose():
                return self._node("Transpose", inputs, perm=[0, 3, 1, 2])
            case ops.DepthToSpace(block=block):
                return self._node("DepthToSpace", inputs, mode="DCR", blocksize=block)
            case ops.Resize(mode=mode, factor=factor):
                factors = self._constant(np.array([1, 1, factor, factor], np.float32))
                return self._node("Resize", [*inputs, "", factors], **RESIZE[mode])
            case ops.MirrorPad() | ops.Quantize() | ops.Dequantize():
                raise TypeError(f"{type(operation).__name__} is no operator in float")
            case _:
                assert_never(operation)

    def _convolution(self, x: Activation, weights: Weights, inputs: list[str]) -> Any:
        weight = self._constant(weights.values)
        if weights.scales is None:
            bias = self._constant(weights.bias)
        else:
            values, steps = (self._constant(part) for part in weights.int32_bias(x))
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
            before = self._slice_backwards(name, pad - 1, -(2**31), axis)
            after = self._slice_backwards(name, -1, -1 - pad, axis)
            result = output if axis == 3 else ""
            name = self._node("Concat", [before, name, after], result, axis=axis).output[0]

    def _slice_backwards(self, name: str, start: int, end: int, axis: int) -> str:
        """The tensor from index ``start`` down to before ``end``."""
        arguments = [self._constant(np.array([value], np.int64)) for value in (start, end, axis, -1)]
        return str(self._node("Slice", [name, *arguments]).output[0])

    def _float_of(self, x: Activation) -> str:
        """The float tensor of an activation; a new one for each use, as runtimes match operators with their inputs."""
        if x.scale is None:
            return self.names[x]
        return str(self._node("DequantizeLinear", [self.names[x], *self._parameters(x)]).output[0])

    def _quantize(self, name: str, y: Activation) -> None:
        self._node("QuantizeLinear", [name, *self._parameters(y)], self._name(y))

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
        """The name of a constant; equal ones are stored once."""
        from onnx import numpy_helper

        value = np.asarray(value)
        key = value.tobytes(), f"{value.dtype}{value.shape}"
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"constant_{len(self.constants)}")
        return str(self.constants[key].name)


def write_module(module: "nn.Module", file: Path, example_input: "Tensor", names: tuple[str, str]) -> None:
    """Write any torch module of standard operators, by torch's own exporter.

    For nets that use what :mod:`pipeline_src.graph.operations` does not have, such as the GridSample of a learned
    downscaler; upscalers are written by :func:`write`.

    Args:
        module: from one tensor to one tensor, in the mode in which it is to run.
        file: the ONNX file.
        example_input: N×C×H×W float32; the file takes the same N and C and any H and W.
        names: of the input and the output tensor.
    """
    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # recommendations of its successor, which fails on graphs of any size
        torch.onnx.export(
            module,
            (example_input,),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes={names[0]: {2: "height", 3: "width"}},
        )


def parts(file: Path) -> list[Path]:
    """Return the one file."""
    return [file]


# --- running


def import_runtime() -> None:
    """Import ONNX Runtime."""
    library()


def open_session(file: Path, threads: int, *, exact: bool) -> Any:
    """Return a session on the CPU.

    Args:
        file: the ONNX file.
        threads: how many it may use.
        exact: sum int8 products without saturation on CPUs that have no VNNI; slower on those that have.
    """
    options = library().SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if exact:
        options.add_session_config_entry(EXACT_OPTION, "1")
    return library().InferenceSession(file, options, providers=["CPUExecutionProvider"])


def load(file: Path, card: Card, threads: int) -> Runner:
    """Open a net, in the exact mode if its int8 sums can saturate.

    Raises:
        UserError: if ONNX Runtime refuses the file.
    """
    from pipeline_src.deployment import pixels

    saturates = card.largest_sum > LARGEST_SUM
    try:
        session = open_session(file, threads, exact=saturates)
    except Exception as error:  # its exceptions have no common base class
        if saturates:
            raise UserError(
                f"ONNX Runtime cannot open {file} in the exact mode ({EXACT_OPTION}) that it needs, because its int8 "
                f"weights saturate on CPUs without VNNI ({in_short(error)}); quantise the net again"
            ) from None
        raise cannot_open(file, "ONNX Runtime", error) from None
    return Runner(
        card.scale,
        lambda image: pixels.to_nchw(image, card.input.dtype),
        lambda lr: session.run(None, {"lr": lr})[0],
        pixels.from_nchw,
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    """Return ONNX Runtime's own call of a file with any inputs, random tensors at them."""
    random = np.random.default_rng(0)
    session = open_session(file, threads, exact=False)
    dtypes = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
    inputs = {
        end.name: random.integers(0, 100, (*end.shape[:2], *size)).astype(dtypes[end.type])
        for end in session.get_inputs()
    }
    return lambda: session.run(None, inputs)


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Return {}: ONNX Runtime raises an exception where it cannot run a file."""
    return {}


# --- describing


def operators(file: Path) -> Iterator[Operator]:
    """Yield the operators of an ONNX file in the order they run."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(file), strict_mode=True).graph
    activations = {
        value.name: _dtype(value.type.tensor_type.elem_type)
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    constants = {tensor.name: _dtype(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        yield Operator.of(
            node.op_type,
            (activations[name] for name in [*inputs, *node.output] if name not in constants),
            (constants[name] for name in inputs if name in constants),
        )


def _dtype(code: int) -> str:
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(code))


def example(model: ModelFile, largest_sum: int) -> str:
    """Return a Python program that upscales ``photo.png`` with the file, in the exact mode if it needs that."""
    if largest_sum:
        return examples.program(EXAMPLE, model, exact=EXACT if largest_sum > LARGEST_SUM else INEXACT)
    return examples.program(EXAMPLE, model, exact="")
