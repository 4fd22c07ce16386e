"""TFLite (LiteRT) files, float and int8, and the runtime for phones and their accelerators.

They hold nothing but what a phone's accelerator takes: one operator for each operation, in TFLite's own order (NHWC).
General converters put chains of TRANSPOSE and RESHAPE in their place, 1.9 times (float) to 3 times (int8) slower on a
CPU and unfit for an accelerator, and take seconds for each file.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from pipeline_src.deployment import examples
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.deployment.interface import TRIAL_SIZE, ModelFile, Operator, Runner, Size, cannot_open
from pipeline_src.deployment.tflite_model import GROUPED_CONV_2D, TFLiteModel, parse
from pipeline_src.errors import UserError
from pipeline_src.graph import operations as ops
from pipeline_src.graph.operations import Activation, Operation, OperationGraph, Weights, repeats_as_convolutions

LABEL = "TFLite"
SUFFIX = ".tflite"
LIBRARIES: tuple[str, ...] = ("torch", "torchao", "ai-edge-litert")
RUNTIME = "ai-edge-litert"

ANY_SIZE: Size = (8, 8)  # declared by a file of any size until it is given one
SAME, VALID = 0, 1  # paddings of convolutions
SYMMETRIC = 1  # mode of MIRROR_PAD that repeats the border pixel

EXAMPLE = """from ai_edge_litert.interpreter import Interpreter

net = Interpreter("{file}", num_threads=2)
net.resize_tensor_input(net.get_input_details()[0]["index"], (1, *lr.shape))
net.allocate_tensors()
net.set_tensor(net.get_input_details()[0]["index"], {lr}[None])
net.invoke()
sr = net.get_tensor(net.get_output_details()[0]["index"])[0]{to_uint8}"""


# --- writing


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>.tflite``, which takes images of any size, and ``<stem>_<H>x<W>.tflite`` for one size.

    Accelerators want a file of one size. The images of an int8 net are uint8 in the file of any size, as programs have
    them, and int8 like all the rest in the other: a QUANTIZE at either end costs a CPU a tenth of ABPN's time, and not
    every driver has it.
    """
    net = repeats_as_convolutions(net)
    any_size, one_size = folder / f"{stem}{SUFFIX}", folder / f"{stem}_{size[0]}x{size[1]}{SUFFIX}"
    write(net, any_size)
    write(net, one_size, size)
    if net.inputs["lr"].scale is None:
        image = TensorSpec("float32", "NHWC")
        return [ModelFile(any_size, image), ModelFile(one_size, image, size)]
    return [
        ModelFile(any_size, TensorSpec("uint8", "NHWC")),
        ModelFile(one_size, TensorSpec("int8", "NHWC", zero_point=-128), size),
    ]


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net for inputs of one ``size``, or of any."""
    file.write_bytes(serialize(net, size))


def serialize(net: OperationGraph, size: Size | None = None) -> bytes:
    """Return the TFLite model of a net: tensors 1×H×W×channels, float32 or int8.

    Args:
        net: the operations.
        size: height and width of the inputs; None for any: then no operator holds a size, so that the file serves
            every size after ``resize_tensor_input``, and int8 inputs and outputs are handed over as uint8.
    """
    return _Writer(net, size).serialize()


class _Writer:
    """Writes operations into a model; ``tensors`` are the indices of activations, ``sides`` their height and width."""

    def __init__(self, net: OperationGraph, size: Size | None) -> None:
        self.net, self.any_size = net, size is None
        self.model = TFLiteModel(self.any_size)
        self.tensors: dict[Activation, int] = {}
        self.sides: dict[Activation, Size] = dict.fromkeys(net.inputs.values(), size or ANY_SIZE)
        self.rectified = _rectified(net)

    def serialize(self) -> bytes:
        inputs = {name: self._activation(x, name) for name, x in self.net.inputs.items()}
        for name, x in self.net.inputs.items():
            if self._is_image(x):
                inner, inputs[name] = inputs[name], self._image(x, name)
                self.model.operator("QUANTIZE", [inputs[name]], [inner], "QuantizeOptions")
        for operation in self.net.operations:
            self._add(operation)
        outputs = {name: self.tensors[x] for name, x in self.net.outputs.items()}
        for name, x in self.net.outputs.items():
            if self._is_image(x):
                inner, outputs[name] = outputs[name], self._image(x, name)
                self.model.operator("QUANTIZE", [inner], [outputs[name]], "QuantizeOptions")
        return self.model.serialize(inputs, outputs)

    def _add(self, operation: Operation) -> None:
        x, y = operation.inputs[0], operation.outputs[0]
        sides = height, width = self.sides[x]
        inputs = [self.tensors[x] for x in operation.inputs]
        match operation:
            case ops.Convolution(weights=weights):
                self._convolution(x, y, weights)
            case ops.Sum():
                relu = int(y in self.rectified)
                self._operator("ADD", inputs, y, sides, "AddOptions", fusedActivationFunction=relu)
            case ops.Product():
                self._operator("MUL", inputs, y, sides, "MulOptions")
            case ops.Relu():
                self._operator("RELU", inputs, y, sides)
            case ops.LeakyRelu(slope=slope):
                self._operator("LEAKY_RELU", inputs, y, sides, "LeakyReluOptions", alpha=slope)
            case ops.PRelu(slopes=slopes):
                self._operator("PRELU", [*inputs, self._slopes(slopes, y)], y, sides)
            case ops.Clamp():
                self._clamp(x, y)
            case ops.Concatenation():
                self._operator("CONCATENATION", inputs, y, sides, "ConcatenationOptions", axis=3)
            case ops.Split(outputs=outputs):
                self._split(inputs, outputs, sides)
            case ops.Transpose():
                order = self.model.constant(np.array([0, 3, 1, 2], np.int32), "order")
                self._operator("TRANSPOSE", [*inputs, order], y, (x.channels, height), "TransposeOptions")
            case ops.DepthToSpace(block=block):
                larger = height * block, width * block
                self._operator("DEPTH_TO_SPACE", inputs, y, larger, "DepthToSpaceOptions", blockSize=block)
            case ops.MirrorPad(pad=pad):
                padded = height + 2 * pad, width + 2 * pad
                tensors = [*inputs, self._pads(pad)]
                self._operator("MIRROR_PAD", tensors, y, padded, "MirrorPadOptions", mode=SYMMETRIC)
            case ops.Resize():
                self._resize(operation)
            case ops.Quantize():
                self._operator("QUANTIZE", inputs, y, sides, "QuantizeOptions")
            case ops.Dequantize():
                self._operator("DEQUANTIZE", inputs, y, sides, "DequantizeOptions")
            case _:
                assert_never(operation)

    def _operator(
        self, name: str, inputs: list[int], output: Activation, sides: Size, options: str = "", **fields: Any
    ) -> None:
        """Add the operator that makes ``output``, an activation of this height and width."""
        self._declare(output, sides)
        self.model.operator(name, inputs, [self.tensors[output]], options, **fields)

    def _convolution(self, x: Activation, y: Activation, weights: Weights) -> None:
        outputs, per_group, kernel, _ = weights.values.shape
        depthwise = per_group == 1 and weights.groups == outputs > 1
        source = self.tensors[x]
        same = weights.stride == 1 and weights.padding == kernel // 2 and kernel % 2
        height, width = (side + 2 * weights.padding for side in self.sides[x])
        if weights.padding and not same:  # with a stride, TFLite's SAME puts more zeros behind than before
            padded = Activation(x.channels, x.scale, x.zero_point)
            self._declare(padded, (height, width))
            tensors = [source, self._pads(weights.padding)], [self.tensors[padded]]
            self.model.operator("PAD", *tensors, "PadOptions")
            source = self.tensors[padded]
        self._declare(y, ((height - kernel) // weights.stride + 1, (width - kernel) // weights.stride + 1))
        order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        name = f"{self.model.name_of(self.tensors[y])}/"
        weight = self.model.constant(weights.values.transpose(order), f"{name}weight", weights.scales, order.index(0))
        if weights.scales is None:
            bias = self.model.constant(weights.bias, f"{name}bias")
        else:
            values, steps = weights.int32_bias(x)
            bias = self.model.constant(values, f"{name}bias", steps)
        options: dict[str, Any] = {
            "padding": SAME if same else VALID,
            "strideW": weights.stride,
            "strideH": weights.stride,
            "fusedActivationFunction": int(y in self.rectified),
        }
        ends = [source, weight, bias], [self.tensors[y]]
        if depthwise:
            self.model.operator("DEPTHWISE_CONV_2D", *ends, "DepthwiseConv2DOptions", depthMultiplier=1, **options)
        else:
            version = GROUPED_CONV_2D if weights.groups > 1 else None
            self.model.operator("CONV_2D", *ends, "Conv2DOptions", version, **options)

    def _clamp(self, x: Activation, y: Activation) -> None:
        source, sides = self.tensors[x], self.sides[x]
        if x not in self.rectified:
            positive = Activation(x.channels)
            self._operator("RELU", [source], positive, sides)
            source = self.tensors[positive]
        white = self.model.constant(np.array([255], np.float32), "white")
        self._operator("MINIMUM", [source, white], y, sides, "MaximumMinimumOptions")

    def _split(self, inputs: list[int], outputs: list[Activation], sides: Size) -> None:
        first, *others = outputs
        for y in others:
            self._declare(y, sides)
        axis = self.model.constant(np.array(3, np.int32), "axis")
        self._declare(first, sides)
        made = [self.tensors[y] for y in outputs]
        self.model.operator("SPLIT", [axis, *inputs], made, "SplitOptions", numSplits=len(outputs))

    def _resize(self, operation: ops.Resize) -> None:
        x, y = operation.inputs[0], operation.outputs[0]
        height, width = self.sides[x]
        larger = height * operation.factor, width * operation.factor
        tensors = [self.tensors[x], self._resized_sides(x, operation.factor)]
        if operation.mode == "nearest":
            self._operator("RESIZE_NEAREST_NEIGHBOR", tensors, y, larger, "ResizeNearestNeighborOptions")
        else:
            self._operator("RESIZE_BILINEAR", tensors, y, larger, "ResizeBilinearOptions", halfPixelCenters=True)

    def _slopes(self, slopes: np.ndarray, y: Activation) -> int:
        if y.scale is None:
            return self.model.constant(slopes.astype(np.float32)[None, None], "slopes")
        step = abs(slopes).max() / 127
        return self.model.constant(np.rint(slopes / step).astype(np.int8)[None, None], "slopes", np.array([step]))

    def _pads(self, pad: int) -> int:
        return self.model.constant(np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32), f"pad_{pad}")

    def _resized_sides(self, x: Activation, factor: int) -> int:
        """The tensor [height, width] of ``x`` upscaled; a file of any size computes it from the shape of ``x``."""
        tensor, model = self.tensors[x], self.model
        if not self.any_size:
            return model.constant(np.array(self.sides[x], np.int32) * np.int32(factor), "sides")
        shape, now, then = (
            model.integers(f"{name}_{tensor}", count) for name, count in (("shape", 4), ("now", 2), ("then", 2))
        )
        begin, end, step = (model.constant(np.array([at], np.int32), f"at_{at}") for at in (1, 3, 1))
        model.operator("SHAPE", [tensor], [shape], "ShapeOptions", outType=model.type_code("int32"))
        model.operator("STRIDED_SLICE", [shape, begin, end, step], [now], "StridedSliceOptions")
        model.operator("MUL", [now, model.constant(np.array([factor], np.int32), "factor")], [then], "MulOptions")
        return then

    def _declare(self, activation: Activation, sides: Size) -> None:
        self.sides[activation] = sides
        self._activation(activation, f"activation_{len(self.tensors)}")

    def _activation(self, x: Activation, name: str) -> int:
        dtype = "float32" if x.scale is None else "int8"
        shape = 1, *self.sides[x], x.channels
        self.tensors[x] = self.model.activation(name, shape, dtype, x.scale, x.zero_point)
        return self.tensors[x]

    def _is_image(self, x: Activation) -> bool:
        return self.any_size and x.scale is not None

    def _image(self, x: Activation, name: str) -> int:
        """The uint8 tensor of an int8 activation at an end of the net."""
        shape = 1, *self.sides[x], x.channels
        return self.model.activation(f"{name}_uint8", shape, "uint8", x.scale, x.zero_point + 128)


def _rectified(net: OperationGraph) -> set[Activation]:
    """Outputs of convolutions and sums with a ReLU: their own, or that of a clamp which alone reads them."""
    clamped = {operation.inputs[0] for operation in net.operations if isinstance(operation, ops.Clamp)}
    uses = Counter(x for operation in net.operations for x in operation.inputs)
    rectified = set()
    for operation in net.operations:
        if isinstance(operation, ops.Convolution | ops.Sum):
            (y,) = operation.outputs
            if operation.relu or (y in clamped and uses[y] == 1):
                rectified.add(y)
    return rectified


def parts(file: Path) -> list[Path]:
    """Return the one file."""
    return [file]


# --- running


def import_runtime() -> None:
    """Import TFLite's interpreter."""
    import ai_edge_litert.interpreter  # noqa: F401


def load(file: Path, card: Card, threads: int) -> Runner:
    """Open a net; a file of any size is resized to each image.

    Raises:
        UserError: if TFLite refuses the file, and of the runner if an image is not of the one size of the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    from pipeline_src.deployment import pixels

    try:
        interpreter = Interpreter(model_path=str(file), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise cannot_open(file, "TFLite", error) from None
    lr_index, sr_index = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def infer(lr: np.ndarray) -> Callable[[], np.ndarray]:
        if lr.shape != tuple(interpreter.get_input_details()[0]["shape"]):
            if card.size:
                raise UserError(
                    f"{file} takes {card.size[0]}×{card.size[1]} pixels alone, not {lr.shape[1]}×{lr.shape[2]}"
                )
            interpreter.resize_tensor_input(lr_index, lr.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(lr_index, lr)
        interpreter.invoke()
        view: Callable[[], np.ndarray] = interpreter.tensor(sr_index)
        return view  # and not its result: as long as a view of the tensor exists, the next invoke is refused

    return Runner(
        card.scale,
        lambda image: pixels.to_nhwc(image, card.input.dtype),
        infer,
        lambda view: pixels.from_nhwc(view()),
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    """Return TFLite's own call of a file of one size with any inputs, random tensors at them."""
    from ai_edge_litert.interpreter import Interpreter

    random = np.random.default_rng(0)
    interpreter = Interpreter(model_path=str(file), num_threads=threads)
    interpreter.allocate_tensors()
    for end in interpreter.get_input_details():
        interpreter.set_tensor(end["index"], random.integers(0, 100, end["shape"]).astype(end["dtype"]))
    call: Callable[[], object] = interpreter.invoke
    return call


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Return {}: TFLite raises an exception where it cannot run a file."""
    return {}


# --- describing


def operators(file: Path) -> Iterator[Operator]:
    """Yield the operators of a TFLite file in the order they run."""
    from ai_edge_litert import schema_py_generated as schema

    op_names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    dtypes = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    model = parse(file.read_bytes())
    for graph in model.subgraphs:
        computed = {*graph.inputs, *(index for op in graph.operators for index in op.outputs)}
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            inputs = [index for index in op.inputs if index >= 0]  # -1: an optional input left out
            yield Operator.of(
                op_names[max(code.builtinCode, code.deprecatedBuiltinCode)],
                (dtypes[graph.tensors[i].type] for i in [*inputs, *op.outputs] if i in computed),
                (dtypes[graph.tensors[i].type] for i in inputs if i not in computed),
            )


def example(model: ModelFile, largest_sum: int) -> str:
    """Return a Python program that upscales ``photo.png`` with the file."""
    to_uint8 = '.view("uint8") ^ 128' if model.tensors.dtype == "int8" else ""
    return examples.program(EXAMPLE, model, to_uint8=to_uint8)
