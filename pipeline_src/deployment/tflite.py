"""TFLite files: float and int8, with nothing in them but what a phone's accelerator takes.

Written from the list of operations, one operator for each, in TFLite's own order (NHWC). General converters put chains
of TRANSPOSE and RESHAPE in their place, 1.9 times (float) to 3 times (int8) slower on a CPU and unfit for an
accelerator, and take seconds for each file.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_src.deployment.operations import SLOPE, Activation, Operation, Operations

ANY_SIZE = (8, 8)  # what a file of any size is declared for until it is given a size
SAME, VALID = 0, 1
SYMMETRIC = 1  # of MIRROR_PAD: the border pixel is repeated
# The versions of the operators that first had what is used of them: for float, for int8, and for grouped convolutions.
VERSIONS = {"CONV_2D": (1, 3), "DEPTHWISE_CONV_2D": (1, 3), "ADD": (1, 2), "CONCATENATION": (1, 2), "RELU": (1, 2)}
VERSIONS |= {"DEPTH_TO_SPACE": (1, 2), "MIRROR_PAD": (1, 2), "PAD": (1, 2), "MINIMUM": (1, 2), "QUANTIZE": (1, 1)}
VERSIONS |= {"MUL": (1, 2), "LEAKY_RELU": (1, 2), "PRELU": (1, 1), "SPLIT": (1, 2), "TRANSPOSE": (1, 2)}
VERSIONS |= {"RESIZE_NEAREST_NEIGHBOR": (1, 2), "RESIZE_BILINEAR": (3, 3), "DEQUANTIZE": (2, 2), "SHAPE": (1, 1)}
VERSIONS |= {"STRIDED_SLICE": (1, 1)}
GROUPED = 6


def write(net: Operations, size: tuple[int, int] | None = None) -> bytes:
    """TFLite file of a net: tensors 1×H×W×channels, float32 or int8, of a super-resolution net images in 0..255.

    For inputs of one ``size`` (height, width), or of any: none of the operators holds a size, so that the same file
    serves every one after ``resize_tensor_input``. There the images of an int8 net are uint8, as programs have them;
    in the file of one size, for accelerators, they are int8 like all the rest: a QUANTIZE at either end costs a CPU a
    tenth of ABPN's time, and not every driver has it.
    """
    import flatbuffers  # type: ignore[import-untyped]

    writer = _Writer(net, size)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(writer.model().Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def parse(model: bytes) -> Any:
    """The object tree of a TFLite flatbuffer."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(model, 0)


class _Writer:
    """``indices``: of the tensors of activations; ``sides``: their height and width."""

    def __init__(self, net: Operations, size: tuple[int, int] | None) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.net, self.any_size = net, size is None
        self.buffers: dict[bytes, int] = {b"": 0}
        self.codes: dict[tuple[str, int], int] = {}
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.indices: dict[Activation, int] = {}
        self.sides: dict[Activation, tuple[int, int]] = dict.fromkeys(net.inputs.values(), size or ANY_SIZE)
        clamped = {step.inputs[0] for step in net.steps if step.kind == "clamp"}
        uses = Counter(x for step in net.steps for x in step.inputs)
        makers = [step for step in net.steps if step.kind in ("convolution", "sum") and uses[step.output] == 1]
        self.above_zero = {step.output for step in makers if step.relu or step.output in clamped}

    def model(self) -> Any:
        inputs = {name: self._activation(x, name) for name, x in self.net.inputs.items()}
        for name, x in self.net.inputs.items():
            if self._is_image(x):
                inner, inputs[name] = inputs[name], self._image(x, f"{name}_uint8")
                self._operator("QUANTIZE", [inputs[name]], [inner], "QuantizeOptions")
        for step in self.net.steps:
            self._add(step)
        outputs = {name: self.indices[x] for name, x in self.net.outputs.items()}
        for name, x in self.net.outputs.items():
            if self._is_image(x):
                inner, outputs[name] = outputs[name], self._image(x, f"{name}_uint8")
                self._operator("QUANTIZE", [inner], [outputs[name]], "QuantizeOptions")
        graph = self._new("SubGraphT", name=b"main", tensors=self.tensors, operators=self.operators)
        graph.inputs, graph.outputs = _indices([*inputs.values()]), _indices([*outputs.values()])
        signature = self._new(
            "SignatureDefT", signatureKey=b"serving_default", inputs=self._ends(inputs), outputs=self._ends(outputs)
        )
        buffers = [self._new("BufferT", data=np.frombuffer(data, np.uint8) if data else None) for data in self.buffers]
        codes = [self._code(name, version) for name, version in self.codes]
        return self._new(
            "ModelT",
            version=3,
            description=b"super_resolution",
            operatorCodes=codes,
            subgraphs=[graph],
            buffers=buffers,
            signatureDefs=[signature],
        )

    def _is_image(self, x: Activation) -> bool:
        return self.any_size and x.scale is not None

    def _ends(self, indices: dict[str, int]) -> list[Any]:
        return [self._new("TensorMapT", name=name.encode(), tensorIndex=i) for name, i in indices.items()]

    def _add(self, step: Operation) -> None:
        inputs, number = [self.indices[x] for x in step.inputs], step.number
        sides = height, width = self.sides[step.inputs[0]]
        larger = height * number, width * number
        match step.kind:
            case "convolution":
                self._convolution(step)
            case "sum":
                self._make("ADD", inputs, step.output, sides, "AddOptions", fusedActivationFunction=self._relu(step))
            case "product":
                self._make("MUL", inputs, step.output, sides, "MulOptions")
            case "relu":
                self._make("RELU", inputs, step.output, sides)
            case "leaky_relu":
                self._make("LEAKY_RELU", inputs, step.output, sides, "LeakyReluOptions", alpha=SLOPE)
            case "prelu":
                self._make("PRELU", [*inputs, self._slopes(step.output)], step.output, sides)
            case "concatenation":
                self._make("CONCATENATION", inputs, step.output, sides, "ConcatenationOptions", axis=3)
            case "split":
                for x in step.others:
                    self._place(x, sides)
                others = [self.indices[x] for x in step.others]
                axis = self._constant(np.array(3, np.int32), "axis")
                parts = 1 + len(others)
                self._make("SPLIT", [axis, *inputs], step.output, sides, "SplitOptions", others, numSplits=parts)
            case "transpose":
                order = self._constant(np.array([0, 3, 1, 2], np.int32), "order")
                rows = step.inputs[0].channels, height
                self._make("TRANSPOSE", [*inputs, order], step.output, rows, "TransposeOptions")
            case "depth_to_space":
                self._make("DEPTH_TO_SPACE", inputs, step.output, larger, "DepthToSpaceOptions", blockSize=number)
            case "mirror_pad":
                padded = height + 2 * number, width + 2 * number
                ends = [*inputs, self._pads(number)]
                self._make("MIRROR_PAD", ends, step.output, padded, "MirrorPadOptions", mode=SYMMETRIC)
            case "nearest":
                ends = [*inputs, self._times(inputs[0], number, larger)]
                self._make("RESIZE_NEAREST_NEIGHBOR", ends, step.output, larger, "ResizeNearestNeighborOptions")
            case "bilinear":
                ends = [*inputs, self._times(inputs[0], number, larger)]
                self._make("RESIZE_BILINEAR", ends, step.output, larger, "ResizeBilinearOptions", halfPixelCenters=True)
            case "clamp":
                if step.inputs[0] not in self.above_zero:
                    rectified = Activation(step.output.channels)
                    self._make("RELU", inputs, rectified, sides)
                    inputs = [self.indices[rectified]]
                white = self._constant(np.array([255], np.float32), "white")
                self._make("MINIMUM", [*inputs, white], step.output, sides, "MaximumMinimumOptions")
            case "quantize":
                self._make("QUANTIZE", inputs, step.output, sides, "QuantizeOptions")
            case "dequantize":
                self._make("DEQUANTIZE", inputs, step.output, sides, "DequantizeOptions")

    def _make(
        self,
        name: str,
        inputs: list[int],
        output: Activation,
        sides: tuple[int, int],
        options: str = "",
        others: Sequence[int] = (),
        **fields: Any,
    ) -> None:
        """The operator that gives ``output``, and ``others`` behind it."""
        self._place(output, sides)
        self._operator(name, inputs, [self.indices[output], *others], options, **fields)

    def _slopes(self, x: Activation) -> int:
        shape = 1, 1, x.channels
        if x.scale is None:
            return self._constant(np.full(shape, SLOPE, np.float32), "slopes")
        return self._constant(np.full(shape, 127, np.int8), "slopes", np.array([SLOPE / 127]))

    def _times(self, x: int, factor: int, sides: tuple[int, int]) -> int:
        """The tensor [height, width] of an image that is ``factor`` times ``x``: for any size computed in the file."""
        if not self.any_size:
            return self._constant(np.array(sides, np.int32), "sides")
        shape, now, then = (self._integers(f"{name}_{x}", n) for name, n in (("shape", 4), ("now", 2), ("then", 2)))
        ends = (self._constant(np.array([end], np.int32), f"at_{end}") for end in (1, 3, 1))
        self._operator("SHAPE", [x], [shape], "ShapeOptions", outType=self.schema.TensorType.INT32)
        self._operator("STRIDED_SLICE", [shape, *ends], [now], "StridedSliceOptions")
        self._operator("MUL", [now, self._constant(np.array([factor], np.int32), "factor")], [then], "MulOptions")
        return then

    def _integers(self, name: str, count: int) -> int:
        shape = _indices([count])
        self.tensors.append(
            self._new("TensorT", name=name.encode(), shape=shape, type=self.schema.TensorType.INT32, buffer=0)
        )
        return len(self.tensors) - 1

    def _convolution(self, step: Operation) -> None:
        weights, x = step.weights, step.inputs[0]
        assert weights
        outputs, per_group, kernel, _ = weights.values.shape
        depthwise = per_group == 1 and weights.groups == outputs > 1
        source = self.indices[x]
        same = weights.stride == 1 and weights.padding == kernel // 2 and kernel % 2
        height, width = (side + 2 * weights.padding for side in self.sides[x])
        if weights.padding and not same:  # with a stride, TFLite's SAME is to put more zeros behind than before
            padded = Activation(x.channels, x.scale, x.zero_point)
            self._place(padded, (height, width))
            self._operator("PAD", [source, self._pads(weights.padding)], [self.indices[padded]], "PadOptions")
            source = self.indices[padded]
        self._place(step.output, ((height - kernel) // weights.stride + 1, (width - kernel) // weights.stride + 1))
        order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        name = f"{self.tensors[self.indices[step.output]].name.decode()}/"
        weight = self._constant(weights.values.transpose(order), f"{name}weight", weights.scales, order.index(0))
        if weights.scales is None:
            bias = self._constant(weights.bias, f"{name}bias")
        else:
            values, steps = weights.int32_bias(x)
            bias = self._constant(values, f"{name}bias", steps)
        options: dict[str, Any] = {
            "padding": SAME if same else VALID,
            "strideW": weights.stride,
            "strideH": weights.stride,
            "fusedActivationFunction": self._relu(step),
        }
        ends = [source, weight, bias], [self.indices[step.output]]
        if depthwise:
            self._operator("DEPTHWISE_CONV_2D", *ends, "DepthwiseConv2DOptions", depthMultiplier=1, **options)
        else:
            version = GROUPED if weights.groups > 1 else None
            self._operator("CONV_2D", *ends, "Conv2DOptions", version, **options)

    def _relu(self, step: Operation) -> int:
        return int(step.relu or step.output in self.above_zero)

    def _operator(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        version: int | None = None,
        **fields: Any,
    ) -> None:
        int8 = any(self.tensors[i].type == self.schema.TensorType.INT8 for i in inputs)
        key = name, version or VERSIONS[name][int8]
        code = self.codes.setdefault(key, len(self.codes))
        operator = self._new("OperatorT", opcodeIndex=code, inputs=_indices(inputs), outputs=_indices(outputs))
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = self._new(f"{options}T", **fields)
        self.operators.append(operator)

    def _code(self, name: str, version: int) -> Any:
        number = getattr(self.schema.BuiltinOperator, name)
        # the old field for the old codes: it has one byte, and readers take the greater of the two
        return self._new("OperatorCodeT", builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=version)

    def _place(self, activation: Activation, sides: tuple[int, int]) -> None:
        self.sides[activation] = sides
        self._activation(activation, f"activation_{len(self.indices)}")

    def _activation(self, activation: Activation, name: str) -> int:
        dtype = self.schema.TensorType.FLOAT32 if activation.scale is None else self.schema.TensorType.INT8
        self.indices[activation] = self._tensor(activation, name, dtype, activation.zero_point)
        return self.indices[activation]

    def _image(self, activation: Activation, name: str) -> int:
        return self._tensor(activation, name, self.schema.TensorType.UINT8, activation.zero_point + 128)

    def _tensor(self, activation: Activation, name: str, dtype: int, zero_point: int) -> int:
        shape = [1, *self.sides[activation], activation.channels]
        tensor = self._new("TensorT", name=name.encode(), shape=_indices(shape), type=dtype, buffer=0)
        if self.any_size:
            tensor.shapeSignature = _indices([1, -1, -1, activation.channels])
        if activation.scale is not None:
            tensor.quantization = self._new(
                "QuantizationParametersT",
                scale=np.array([activation.scale], np.float32),
                zeroPoint=np.array([zero_point]),
            )
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _pads(self, pad: int) -> int:
        return self._constant(np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32), f"pad_{pad}")

    def _constant(self, values: np.ndarray, name: str, scales: np.ndarray | None = None, axis: int = 0) -> int:
        data = np.ascontiguousarray(values).tobytes()
        buffer = self.buffers.setdefault(data, len(self.buffers))  # weights that several convolutions share, once
        dtype = getattr(self.schema.TensorType, values.dtype.name.upper())
        tensor = self._new("TensorT", name=name.encode(), shape=_indices(values.shape), type=dtype, buffer=buffer)
        if scales is not None:
            tensor.quantization = self._new(
                "QuantizationParametersT",
                scale=scales.astype(np.float32),
                zeroPoint=np.zeros(len(scales), np.int64),
                quantizedDimension=axis,
            )
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _new(self, kind: str, **fields: Any) -> Any:
        """A table of the flatbuffer."""
        table = getattr(self.schema, kind)()
        for name, value in fields.items():
            assert hasattr(table, name), f"{kind} has no {name}"
            setattr(table, name, value)
        return table


def _indices(values: Any) -> np.ndarray:
    return np.array(values, np.int32)
