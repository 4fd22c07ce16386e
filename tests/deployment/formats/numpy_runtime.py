"""A format as a user would add it: float ONNX under another suffix, run in NumPy by ONNX's reference evaluator.

``test_formats.py`` puts it into a copy of the package.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline_src.deployment import examples
from pipeline_src.deployment.cards import Card
from pipeline_src.deployment.formats import onnx
from pipeline_src.deployment.interface import CPU, TRIAL_SIZE, ModelFile, Operator, Runner, Size, opening
from pipeline_src.graph.operations import OperationGraph

LABEL = "NumPy"
SUFFIX = ".numpy"
LIBRARIES: tuple[str, ...] = ("onnx",)
RUNTIME = "onnx"
VARIANTS: tuple[str, ...] = ("fp32",)

EXAMPLE = """import onnx.reference

session = onnx.reference.ReferenceEvaluator("{file}")
{given} = session.run(None, {{"{taken}": {tensor}.transpose(2, 0, 1)[None]}})[0][0].transpose(1, 2, 0)"""


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    if net.image.scale is not None:  # the evaluator has no int8 operators of the opset that files have
        return []
    return [export_file(net, folder / f"{stem}{SUFFIX}")]


def export_file(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    return onnx.export_file(net, file, size)


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    onnx.write(net, file)


def parts(file: Path) -> list[Path]:
    return [file]


def import_runtime() -> None:
    import onnx.reference  # noqa: F401


def load(file: Path, card: Card, threads: int, device: str = CPU) -> Runner:
    from onnx.reference import ReferenceEvaluator

    from pipeline_src.deployment import pixels

    with opening(file, "NumPy"):
        session = ReferenceEvaluator(str(file))
    return Runner(
        card.scale,
        lambda image: pixels.to_nchw(image, card.input.dtype),
        lambda lr: session.run(None, {"lr": lr})[0],
        pixels.from_nchw,
        pixels.values_from_nchw,
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(file))
    inputs = {}
    for name, declared in zip(session.input_names, session.input_types, strict=True):
        tensor = declared.tensor_type
        shape = *(side.dim_value for side in tensor.shape.dim[:2]), *size
        inputs[name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return lambda: session.run(None, inputs)


def operators(file: Path) -> Iterator[Operator]:
    return onnx.operators(file)


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    return {}


def example(model: ModelFile, largest_sum: int) -> str:
    return examples.program(EXAMPLE, model)
