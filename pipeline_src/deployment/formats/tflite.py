"""TFLite (LiteRT) files, float or int8, and the runtime for phones and their accelerators.

The files contain only operators that accelerators of phones support: one for each operation, in TFLite's layout (NHWC).
General converters add chains of TRANSPOSE and RESHAPE, which are 1.9 times (float) to 3 times (int8) slower on a CPU
and unfit for an accelerator, and take seconds for each file.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.deployment import examples, interface
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.deployment.interface import (
    CPU,
    TRIAL_SIZE,
    ModelFile,
    Operator,
    Runner,
    Size,
    check_input,
    opening,
    require_cpu,
)
from pipeline_src.errors import UserError
from pipeline_src.graph.operations import OperationGraph, repeats_as_convolutions

LABEL = "TFLite"
SUFFIX = ".tflite"
LIBRARIES: tuple[str, ...] = ("torch", "torchao", "ai-edge-litert")
RUNTIME = "ai-edge-litert"
VARIANTS: tuple[str, ...] = interface.VARIANTS

EXAMPLE = """from ai_edge_litert.interpreter import Interpreter

net = Interpreter("{file}", num_threads=2)
net.resize_tensor_input(net.get_input_details()[0]["index"], (1, *{taken}.shape))
net.allocate_tensors()
net.set_tensor(net.get_input_details()[0]["index"], {tensor}[None])
net.invoke()
{given} = net.get_tensor(net.get_output_details()[0]["index"])[0]{to_uint8}"""


# --- writing


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>.tflite``, which accepts images of any size, and ``<stem>_<H>x<W>.tflite`` for one size.

    Accelerators need a file of fixed size. An int8 net takes and gives uint8 images in the file of any size, for the
    convenience of programs, and int8 images in the other: the QUANTIZE at the input and the output takes a tenth of
    ABPN's time on a CPU, and not every driver supports it.
    """
    any_size, one_size = folder / f"{stem}{SUFFIX}", folder / f"{stem}_{size[0]}x{size[1]}{SUFFIX}"
    return [export_file(net, any_size), export_file(net, one_size, size)]


def export_file(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    """Write one file of a super-resolution net; the images of its input and output are as :func:`export` says."""
    write(repeats_as_convolutions(net), file, size)
    if net.image.scale is None:
        image = TensorSpec("float32", "NHWC")
    else:
        image = TensorSpec("int8", "NHWC", zero_point=-128) if size else TensorSpec("uint8", "NHWC")
    return ModelFile.of(net, file, image, size)


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net for inputs of one ``size``, or of any size for None."""
    from pipeline_src.deployment import tflite_writer

    file.write_bytes(tflite_writer.serialize(net, size))


def parts(file: Path) -> list[Path]:
    """Return the one file."""
    return [file]


# --- running


def import_runtime() -> None:
    """Import TFLite's interpreter."""
    interpreter_class()


def interpreter_class() -> Any:
    """Return TFLite's interpreter: that of ai-edge-litert, or of its forerunner tflite-runtime."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        if not importlib.util.find_spec("tflite_runtime"):
            raise error from None
        from tflite_runtime.interpreter import Interpreter
    return Interpreter


def load(file: Path, card: Card, threads: int, device: str = CPU) -> Runner:
    """Open a net; a file of any size is resized for each image.

    Raises:
        UserError: if TFLite refuses the file, or another device is asked for. The runner raises one for an image of
            another size than the file's.
    """
    from pipeline_src.deployment import pixels

    require_cpu("TFLite", device)
    with opening(file, "TFLite"):
        interpreter = interpreter_class()(model_path=str(file), num_threads=threads)
        interpreter.allocate_tensors()
    (lr_details,), (sr_details,) = interpreter.get_input_details(), interpreter.get_output_details()
    lr_index, sr_index = lr_details["index"], sr_details["index"]
    check_input(file, card, np.dtype(lr_details["dtype"]).name, lr_details["shape_signature"][1:3].tolist())

    def infer(lr: np.ndarray) -> Callable[[], np.ndarray]:
        if lr.shape != tuple(interpreter.get_input_details()[0]["shape"]):
            if card.size:
                sizes = f"{card.size[0]}×{card.size[1]} pixels, not {lr.shape[1]}×{lr.shape[2]}"
                raise UserError(f"{file} takes only images of {sizes}; use the file of any size")
            interpreter.resize_tensor_input(lr_index, lr.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(lr_index, lr)
        interpreter.invoke()
        view: Callable[[], np.ndarray] = interpreter.tensor(sr_index)
        return view  # a function, because TFLite refuses to invoke while an array that it returned exists

    return Runner(
        card.scale,
        lambda image: pixels.to_nhwc(image, card.input.dtype),
        infer,
        lambda view: pixels.from_nhwc(view()),
        lambda view: pixels.values_from_nhwc(view()),
        card.size,
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    """Return a function that runs a file of one size with any inputs on random tensors."""
    random = np.random.default_rng(0)
    with opening(file, "TFLite"):
        interpreter = interpreter_class()(model_path=str(file), num_threads=threads)
        interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], random.integers(0, 100, tensor["shape"]).astype(tensor["dtype"]))
    call: Callable[[], object] = interpreter.invoke
    return call


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Return {}: TFLite raises an exception if it cannot run a file."""
    return {}


# --- describing


def operators(file: Path) -> Iterator[Operator]:
    """Yield the operators of a TFLite file in the order they run."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(file.read_bytes())
    for graph in model.subgraphs:
        dtypes = [flatbuffer_utils.type_to_name(tensor.type).lower() for tensor in graph.tensors]
        computed = {*graph.inputs, *(index for op in graph.operators for index in op.outputs)}
        for op in graph.operators:
            inputs = [index for index in op.inputs if index >= 0]  # -1 stands for an optional input left out
            yield Operator.of(
                str(flatbuffer_utils.opcode_to_name(model, op.opcodeIndex)),
                (dtypes[i] for i in [*inputs, *op.outputs] if i in computed),
                (dtypes[i] for i in inputs if i not in computed),
            )


def example(model: ModelFile, largest_sum: int) -> str:
    """Return a Python program that upscales ``photo.png`` with the file."""
    to_uint8 = '.view("uint8") ^ 128' if model.tensors.dtype == "int8" else ""
    return examples.program(EXAMPLE, model, to_uint8=to_uint8)
