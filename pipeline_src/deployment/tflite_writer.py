"""Translates a net's operations into the operators of a TFLite model."""

from collections import Counter
from typing import Any, assert_never

import numpy as np

from pipeline_src.deployment.interface import Size
from pipeline_src.deployment.tflite_model import GROUPED_CONV_2D, TFLiteModel
from pipeline_src.graph import operations as ops
from pipeline_src.graph.operations import Activation, Operation, OperationGraph, Weights

PLACEHOLDER_SIDE = 8  # at least, of the image that a file for any size declares until its input is resized
SAME, VALID = 0, 1  # paddings of convolutions

Elementwise = ops.Sum | ops.Product | ops.Relu | ops.LeakyRelu | ops.PRelu | ops.Clamp | ops.Quantize | ops.Dequantize
Rearrangement = (
    ops.Concatenation | ops.Split | ops.Transpose | ops.DepthToSpace | ops.SpaceToDepth | ops.MirrorPad | ops.Resize
)


def serialize(net: OperationGraph, size: Size | None = None) -> bytes:
    """Return the TFLite model of a net.

    Args:
        net: the operations. The model's inputs and outputs are tensors 1×H×W×channels, float32 or int8.
        size: height and width of the inputs; None for any: then no operator holds a size, the file serves every size
            after ``resize_tensor_input``, and int8 inputs and outputs are converted from and to uint8.
    """
    return _Writer(net, size).serialize()


class _Writer:
    """Writes the operations of a net into a model.

    Attributes:
        tensors: index in the model of each activation's tensor.
        sizes: height and width of each activation.
        rectified: outputs of convolutions and sums that end in a ReLU.
    """

    def __init__(self, net: OperationGraph, size: Size | None) -> None:
        self.net, self.any_size = net, size is None
        self.model = TFLiteModel(self.any_size)
        self.tensors: dict[Activation, int] = {}
        placeholder = PLACEHOLDER_SIDE + -PLACEHOLDER_SIDE % net.multiple
        self.sizes: dict[Activation, Size] = dict.fromkeys(net.inputs.values(), size or (placeholder, placeholder))
        self.rectified = _rectified(net)

    def serialize(self) -> bytes:
        """Return the flatbuffer of the net."""
        inputs = {name: self._tensor(x, name) for name, x in self.net.inputs.items()}
        for name, x in self.net.inputs.items():
            if self._has_uint8_image(x):
                int8, inputs[name] = inputs[name], self._uint8_image(x, name)
                self.model.operator("QUANTIZE", [inputs[name]], [int8], "QuantizeOptions")
        for operation in self.net.operations:
            self._add(operation)
        outputs = {name: self.tensors[x] for name, x in self.net.outputs.items()}
        for name, x in self.net.outputs.items():
            if self._has_uint8_image(x):
                int8, outputs[name] = outputs[name], self._uint8_image(x, name)
                self.model.operator("QUANTIZE", [int8], [outputs[name]], "QuantizeOptions")
        return self.model.serialize(inputs, outputs)

    def _add(self, operation: Operation) -> None:
        if isinstance(operation, ops.Convolution):
            self._convolution(operation)
        elif isinstance(operation, Elementwise):
            self._elementwise(operation)
        elif isinstance(operation, Rearrangement):
            self._rearrangement(operation)
        else:
            assert_never(operation)

    def _elementwise(self, operation: Elementwise) -> None:
        """Add an operator whose output has the height, width and channels of its first input."""
        y, size = operation.outputs[0], self.sizes[operation.inputs[0]]
        inputs = [self.tensors[x] for x in operation.inputs]
        match operation:
            case ops.Sum():
                relu = int(y in self.rectified)
                self._operator("ADD", inputs, y, size, "AddOptions", fusedActivationFunction=relu)
            case ops.Product():
                self._operator("MUL", inputs, y, size, "MulOptions")
            case ops.Relu():
                self._operator("RELU", inputs, y, size)
            case ops.LeakyRelu(slope=slope):
                self._operator("LEAKY_RELU", inputs, y, size, "LeakyReluOptions", alpha=slope)
            case ops.PRelu(slopes=slopes):
                self._operator("PRELU", [*inputs, self._slopes(slopes, y)], y, size)
            case ops.Clamp():
                self._clamp(operation.inputs[0], y)
            case ops.Quantize():
                self._operator("QUANTIZE", inputs, y, size, "QuantizeOptions")
            case ops.Dequantize():
                self._operator("DEQUANTIZE", inputs, y, size, "DequantizeOptions")
            case _:
                assert_never(operation)

    def _rearrangement(self, operation: Rearrangement) -> None:
        """Add an operator that moves or interpolates values."""
        x, y = operation.inputs[0], operation.outputs[0]
        height, width = self.sizes[x]
        inputs = [self.tensors[x] for x in operation.inputs]
        match operation:
            case ops.Concatenation():
                self._operator("CONCATENATION", inputs, y, (height, width), "ConcatenationOptions", axis=3)
            case ops.Split(outputs=outputs):
                self._split(inputs, outputs, (height, width))
            case ops.Transpose():
                order = self.model.constant(np.array([0, 3, 1, 2], np.int32), "order")
                self._operator("TRANSPOSE", [*inputs, order], y, (x.channels, height), "TransposeOptions")
            case ops.DepthToSpace(block=block):
                size = height * block, width * block
                self._operator("DEPTH_TO_SPACE", inputs, y, size, "DepthToSpaceOptions", blockSize=block)
            case ops.SpaceToDepth(block=block):
                size = height // block, width // block
                self._operator("SPACE_TO_DEPTH", inputs, y, size, "SpaceToDepthOptions", blockSize=block)
            case ops.MirrorPad(pad=pad):
                self._mirror_pad(x, y, pad)
            case ops.Resize():
                self._resize(operation)
            case _:
                assert_never(operation)

    def _operator(
        self, name: str, inputs: list[int], output: Activation, size: Size, options: str = "", **fields: Any
    ) -> None:
        """Add the operator that computes ``output``, an activation of this height and width."""
        self._declare(output, size)
        self.model.operator(name, inputs, [self.tensors[output]], options, **fields)

    def _convolution(self, operation: ops.Convolution) -> None:
        x, y, weights = operation.inputs[0], operation.outputs[0], operation.weights
        kernel = weights.values.shape[2]
        same = weights.stride == 1 and weights.padding == kernel // 2 and kernel % 2
        height, width = (side + 2 * weights.padding for side in self.sizes[x])
        source = self.tensors[x]
        if weights.padding and not same:  # with a stride, TFLite's SAME puts more zeros at the end than at the start
            source = self._zero_padded(x, weights.padding, (height, width))
        self._declare(y, ((height - kernel) // weights.stride + 1, (width - kernel) // weights.stride + 1))
        depthwise = weights.values.shape[1] == 1 and weights.groups == len(weights.values) > 1
        inputs = [source, *self._convolution_constants(x, y, weights, depthwise)]
        options: dict[str, Any] = {
            "padding": SAME if same else VALID,
            "strideW": weights.stride,
            "strideH": weights.stride,
            "fusedActivationFunction": int(y in self.rectified),
        }
        outputs = [self.tensors[y]]
        if depthwise:
            table = "DepthwiseConv2DOptions"
            self.model.operator("DEPTHWISE_CONV_2D", inputs, outputs, table, depthMultiplier=1, **options)
        else:
            version = GROUPED_CONV_2D if weights.groups > 1 else None
            self.model.operator("CONV_2D", inputs, outputs, "Conv2DOptions", version, **options)

    def _zero_padded(self, x: Activation, pad: int, size: Size) -> int:
        """Add a PAD of ``x`` to this height and width, and return its tensor."""
        padded = Activation(x.channels, x.scale, x.zero_point)
        self._declare(padded, size)
        self.model.operator("PAD", [self.tensors[x], self._pads(pad)], [self.tensors[padded]], "PadOptions")
        return self.tensors[padded]

    def _convolution_constants(self, x: Activation, y: Activation, weights: Weights, depthwise: bool) -> list[int]:
        """Return the tensors weight and bias of the convolution from ``x`` to ``y``."""
        order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        name = self.model.name_of(self.tensors[y])
        values = weights.values.transpose(order)
        weight = self.model.constant(values, f"{name}/weight", weights.scales, order.index(0))
        if weights.scales is None:
            return [weight, self.model.constant(weights.bias, f"{name}/bias")]
        bias, steps = weights.int32_bias(x)
        return [weight, self.model.constant(bias, f"{name}/bias", steps)]

    def _clamp(self, x: Activation, y: Activation) -> None:
        source, size = self.tensors[x], self.sizes[x]
        if x not in self.rectified:
            positive = Activation(x.channels)
            self._operator("RELU", [source], positive, size)
            source = self.tensors[positive]
        white = self.model.constant(np.array([255], np.float32), "white")
        self._operator("MINIMUM", [source, white], y, size, "MaximumMinimumOptions")

    def _mirror_pad(self, x: Activation, y: Activation, pad: int) -> None:
        """Add what MIRROR_PAD does, of rows and then of columns: slices that are read backwards, and a concatenation.

        TFLite computes the index of every value of a MIRROR_PAD: 24 ms of a 1280×720 image, where these take 0.5.
        """
        height, width = self.sizes[x]
        rows = Activation(x.channels, x.scale, x.zero_point)
        taller, wider = (height + 2 * pad, width), (height + 2 * pad, width + 2 * pad)
        for axis, source, target, size in ((1, x, rows, taller), (2, rows, y, wider)):
            before, after = (self._slice_backwards(source, axis, start, pad) for start in (pad - 1, -1))
            parts = [before, self.tensors[source], after]
            self._operator("CONCATENATION", parts, target, size, "ConcatenationOptions", axis=axis)

    def _slice_backwards(self, x: Activation, axis: int, start: int, count: int) -> int:
        """Add a slice of ``count`` rows (axis 1) or columns (axis 2) from index ``start`` down; return its tensor."""
        height, width = self.sizes[x]
        part, size = Activation(x.channels, x.scale, x.zero_point), (count, width) if axis == 1 else (height, count)
        begin, end, step = np.zeros(4, np.int32), np.zeros(4, np.int32), np.ones(4, np.int32)
        begin[axis], end[axis], step[axis] = start, start - count, -1
        # A mask leaves limits open: those of the other axes, and the end where it lies before the first row or column.
        others = sum(1 << other for other in range(4) if other != axis)
        masks = {"beginMask": others, "endMask": others | (start == count - 1) << axis}
        limits = {"begin": begin, "end": end, "step": step}
        inputs = [self.tensors[x], *(self.model.constant(limit, name) for name, limit in limits.items())]
        self._operator("STRIDED_SLICE", inputs, part, size, "StridedSliceOptions", **masks)
        return self.tensors[part]

    def _split(self, inputs: list[int], outputs: list[Activation], size: Size) -> None:
        first, *further_outputs = outputs
        for y in further_outputs:
            self._declare(y, size)
        axis = self.model.constant(np.array(3, np.int32), "axis")
        self._declare(first, size)
        output_tensors = [self.tensors[y] for y in outputs]
        self.model.operator("SPLIT", [axis, *inputs], output_tensors, "SplitOptions", numSplits=len(outputs))

    def _resize(self, operation: ops.Resize) -> None:
        x, y = operation.inputs[0], operation.outputs[0]
        height, width = self.sizes[x]
        size = height * operation.factor, width * operation.factor
        inputs = [self.tensors[x], self._upscaled_size(x, operation.factor)]
        if operation.mode == "nearest":
            self._operator("RESIZE_NEAREST_NEIGHBOR", inputs, y, size, "ResizeNearestNeighborOptions")
        else:
            self._operator("RESIZE_BILINEAR", inputs, y, size, "ResizeBilinearOptions", halfPixelCenters=True)

    def _slopes(self, slopes: np.ndarray, y: Activation) -> int:
        if y.scale is None:
            return self.model.constant(slopes.astype(np.float32)[None, None], "slopes")
        step = abs(slopes).max() / 127
        return self.model.constant(np.rint(slopes / step).astype(np.int8)[None, None], "slopes", np.array([step]))

    def _pads(self, pad: int) -> int:
        return self.model.constant(np.array([[0, 0], [pad, pad], [pad, pad], [0, 0]], np.int32), f"pad_{pad}")

    def _upscaled_size(self, x: Activation, factor: int) -> int:
        """Return the tensor [height, width] of ``x`` upscaled, computed from the shape of ``x`` where that is open."""
        tensor, model = self.tensors[x], self.model
        if not self.any_size:
            return model.constant(np.array(self.sizes[x], np.int32) * np.int32(factor), "sides")
        shape, size, upscaled = (
            model.integers(f"{name}_{tensor}", count) for name, count in (("shape", 4), ("now", 2), ("then", 2))
        )
        begin, end, step = (model.constant(np.array([index], np.int32), f"at_{index}") for index in (1, 3, 1))
        model.operator("SHAPE", [tensor], [shape], "ShapeOptions", outType=model.type_code("int32"))
        model.operator("STRIDED_SLICE", [shape, begin, end, step], [size], "StridedSliceOptions")
        factors = model.constant(np.array([factor], np.int32), "factor")
        model.operator("MUL", [size, factors], [upscaled], "MulOptions")
        return upscaled

    def _declare(self, activation: Activation, size: Size) -> None:
        """Add the tensor of an activation of this height and width."""
        self.sizes[activation] = size
        self._tensor(activation, f"activation_{len(self.tensors)}")

    def _tensor(self, x: Activation, name: str) -> int:
        dtype = "float32" if x.scale is None else "int8"
        shape = 1, *self.sizes[x], x.channels
        self.tensors[x] = self.model.activation(name, shape, dtype, x.scale, x.zero_point)
        return self.tensors[x]

    def _has_uint8_image(self, x: Activation) -> bool:
        """Return whether an input or output of the net is converted from or to uint8."""
        return self.any_size and x.scale is not None

    def _uint8_image(self, x: Activation, name: str) -> int:
        """Add the uint8 tensor of an int8 input or output of the net."""
        shape = 1, *self.sizes[x], x.channels
        return self.model.activation(f"{name}_uint8", shape, "uint8", x.scale, x.zero_point + 128)


def _rectified(net: OperationGraph) -> set[Activation]:
    """Return the outputs of convolutions and sums with a ReLU: their own, or that of a clamp that alone reads them."""
    clamped = {operation.inputs[0] for operation in net.operations if isinstance(operation, ops.Clamp)}
    uses = Counter(x for operation in net.operations for x in operation.inputs)
    rectified = set()
    for operation in net.operations:
        if isinstance(operation, ops.Convolution | ops.Sum):
            (y,) = operation.outputs
            if operation.relu or (y in clamped and uses[y] == 1):
                rectified.add(y)
    return rectified
