"""A TFLite model under construction: the tensors, constants and operators of its flatbuffer.

The schema and the packing are those of ``ai_edge_litert``; see the schema's source for the tables and their fields:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# For each operator, its first version that has the features used here, for float and for int8 inputs. Runtimes refuse
# versions newer than their own.
VERSIONS = {
    "ADD": (1, 2), "CONCATENATION": (1, 2), "CONV_2D": (1, 3), "DEPTHWISE_CONV_2D": (1, 3), "DEPTH_TO_SPACE": (1, 2),
    "DEQUANTIZE": (2, 2), "LEAKY_RELU": (1, 2), "MINIMUM": (1, 2), "MIRROR_PAD": (1, 2), "MUL": (1, 2), "PAD": (1, 2),
    "PRELU": (1, 1), "QUANTIZE": (1, 1), "RELU": (1, 2), "RESIZE_BILINEAR": (3, 3), "RESIZE_NEAREST_NEIGHBOR": (1, 2),
    "SHAPE": (1, 1), "SPACE_TO_DEPTH": (1, 2), "SPLIT": (1, 2), "STRIDED_SLICE": (1, 2), "TRANSPOSE": (1, 2),
}  # fmt: skip
GROUPED_CONV_2D = 6  # version of CONV_2D that has groups


class TFLiteModel:
    """A model to which tensors and operators are added; tensors are identified by their index.

    Args:
        any_size: declare height and width of all activations as open.
    """

    def __init__(self, any_size: bool) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.any_size = any_size
        self._schema: Any = schema
        self._buffers: dict[bytes, int] = {b"": 0}
        self._codes: dict[tuple[str, int], int] = {}
        self._tensors: list[Any] = []
        self._operators: list[Any] = []

    def activation(
        self, name: str, shape: tuple[int, ...], dtype: str, scale: float | None = None, zero_point: int = 0
    ) -> int:
        """Add an activation and return its index.

        Args:
            name: of the tensor.
            shape: 1×H×W×channels.
            dtype: such as ``float32`` or ``int8``.
            scale: value of one step of a quantised activation; None for one that is not quantised.
            zero_point: quantised value that stands for 0.
        """
        tensor = self._new("TensorT", name=name.encode(), shape=_int32(shape), type=self.type_code(dtype), buffer=0)
        if self.any_size:
            tensor.shapeSignature = _int32([1, -1, -1, shape[-1]])
        if scale is not None:
            tensor.quantization = self._new(
                "QuantizationParametersT", scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point])
            )
        return self._add(tensor)

    def integers(self, name: str, count: int) -> int:
        """Add a vector of ``count`` int32 values that an operator computes, and return its index."""
        shape, dtype = _int32([count]), self.type_code("int32")
        return self._add(self._new("TensorT", name=name.encode(), shape=shape, type=dtype, buffer=0))

    def constant(self, values: np.ndarray, name: str, scales: np.ndarray | None = None, axis: int = 0) -> int:
        """Add a constant and return its index; constants of equal bytes, such as shared weights, share a buffer.

        Args:
            values: of any shape, in the dtype in which they are stored.
            name: of the tensor.
            scales: value of one step of quantised values, one for each index along ``axis``.
            axis: of ``scales``.
        """
        data = np.ascontiguousarray(values).tobytes()
        buffer = self._buffers.setdefault(data, len(self._buffers))
        dtype = self.type_code(values.dtype.name)
        tensor = self._new("TensorT", name=name.encode(), shape=_int32(values.shape), type=dtype, buffer=buffer)
        if scales is not None:
            tensor.quantization = self._new(
                "QuantizationParametersT",
                scale=scales.astype(np.float32),
                zeroPoint=np.zeros(len(scales), np.int64),
                quantizedDimension=axis,
            )
        return self._add(tensor)

    def operator(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        version: int | None = None,
        **fields: Any,
    ) -> None:
        """Append an operator.

        Args:
            name: in TFLite's schema, such as ADD.
            inputs: indices of tensors.
            outputs: indices of tensors.
            options: table of its options in the schema, such as AddOptions, if it has one.
            version: of the operator; None for the one in ``VERSIONS``.
            **fields: of the options.
        """
        int8 = any(self._tensors[i].type == self.type_code("int8") for i in inputs)
        key = name, version or VERSIONS[name][int8]
        code = self._codes.setdefault(key, len(self._codes))
        operator = self._new("OperatorT", opcodeIndex=code, inputs=_int32(inputs), outputs=_int32(outputs))
        if options:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            operator.builtinOptions = self._new(f"{options}T", **fields)
        self._operators.append(operator)

    def name_of(self, tensor: int) -> str:
        """Return the name of a tensor."""
        return str(self._tensors[tensor].name.decode())

    def type_code(self, dtype: str) -> int:
        """Return the code of a dtype in the schema."""
        return int(getattr(self._schema.TensorType, dtype.upper()))

    def serialize(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Return the model as a flatbuffer.

        Args:
            inputs: tensors that a caller sets, by the names in the model's signature.
            outputs: tensors that a caller reads, by the names in the model's signature.
        """
        from ai_edge_litert.tools import flatbuffer_utils

        graph = self._new("SubGraphT", name=b"main", tensors=self._tensors, operators=self._operators)
        graph.inputs, graph.outputs = _int32([*inputs.values()]), _int32([*outputs.values()])
        signature = self._new(
            "SignatureDefT",
            signatureKey=b"serving_default",
            inputs=self._signature(inputs),
            outputs=self._signature(outputs),
        )
        model = self._new(
            "ModelT",
            version=3,
            description=b"super_resolution",
            operatorCodes=[self._code(name, version) for name, version in self._codes],
            subgraphs=[graph],
            buffers=[self._new("BufferT", data=np.frombuffer(b, np.uint8) if b else None) for b in self._buffers],
            signatureDefs=[signature],
        )
        return bytes(flatbuffer_utils.convert_object_to_bytearray(model))

    def _signature(self, tensors: dict[str, int]) -> list[Any]:
        return [self._new("TensorMapT", name=name.encode(), tensorIndex=i) for name, i in tensors.items()]

    def _code(self, name: str, version: int) -> Any:
        number = getattr(self._schema.BuiltinOperator, name)
        # The deprecated field holds codes up to 127; readers take the greater of the two fields.
        return self._new("OperatorCodeT", builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=version)

    def _add(self, tensor: Any) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _new(self, kind: str, **fields: Any) -> Any:
        """Return a table of the flatbuffer."""
        table = getattr(self._schema, kind)()
        for name, value in fields.items():
            assert hasattr(table, name), f"{kind} has no {name}"
            setattr(table, name, value)
        return table


def _int32(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int32)
