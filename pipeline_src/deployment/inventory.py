"""What is inside an exported file: every operator, how often, and in which number formats it computes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Operator:
    """One operator of a file: its name and the sorted dtypes of its activations and of its constants."""

    name: str
    activations: tuple[str, ...]
    constants: tuple[str, ...]


def operators(file: Path) -> list[Operator]:
    """The operators of a ``.tflite``, ``.onnx`` or ``.xml`` file in the order they run."""
    readers = {".tflite": _tflite, ".onnx": _onnx, ".xml": _openvino}
    return list(readers[file.suffix](file))


def rows(file: Path) -> list[dict[str, object]]:
    """The rows of ``inventory.csv`` for one file: ``file,op,count,activations,constants``."""
    return [
        {
            "file": file.name,
            "op": op.name,
            "count": count,
            "activations": " ".join(op.activations),
            "constants": " ".join(op.constants),
        }
        for op, count in Counter(operators(file)).items()
    ]


def _operator(name: str, activations: Iterable[str], constants: Iterable[str]) -> Operator:
    return Operator(name, tuple(sorted(set(activations))), tuple(sorted(set(constants))))


def _tflite(file: Path) -> Iterator[Operator]:
    from ai_edge_litert import schema_py_generated as schema

    from pipeline_src.deployment.tflite import parse

    op_names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    dtypes = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
    net = parse(file.read_bytes())
    for graph in net.subgraphs:
        computed = {*graph.inputs, *(index for op in graph.operators for index in op.outputs)}
        for op in graph.operators:
            code = net.operatorCodes[op.opcodeIndex]
            inputs = [index for index in op.inputs if index >= 0]  # -1: an optional input left out
            yield _operator(
                op_names[max(code.builtinCode, code.deprecatedBuiltinCode)],
                (dtypes[graph.tensors[i].type] for i in [*inputs, *op.outputs] if i in computed),
                (dtypes[graph.tensors[i].type] for i in inputs if i not in computed),
            )


def _onnx(file: Path) -> Iterator[Operator]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(file), strict_mode=True).graph
    activations = {
        value.name: _onnx_dtype(value.type.tensor_type.elem_type)
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    constants = {tensor.name: _onnx_dtype(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        yield _operator(
            node.op_type,
            (activations[name] for name in [*inputs, *node.output] if name not in constants),
            (constants[name] for name in inputs if name in constants),
        )


def _onnx_dtype(code: int) -> str:
    import onnx

    return str(onnx.helper.tensor_dtype_to_np_dtype(code))


def _openvino(file: Path) -> Iterator[Operator]:
    from pipeline_src.deployment import openvino

    for op in openvino.library().Core().read_model(file).get_ordered_ops():
        if op.get_type_name() in ("Parameter", "Constant", "Result"):
            continue
        sources = [port.get_source_output() for port in op.inputs()]
        constant = [source for source in sources if source.get_node().get_type_name() == "Constant"]
        computed = [source for source in sources if source.get_node().get_type_name() != "Constant"]
        yield _operator(
            op.get_type_name(),
            (output.get_element_type().to_dtype().name for output in [*computed, *op.outputs()]),
            (output.get_element_type().to_dtype().name for output in constant),
        )
