"""ONNX files, float or int8 (as QDQ with uint8 activations), and ONNX Runtime, which runs them."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
)
from pipeline_src.errors import UserError
from pipeline_src.graph.operations import OperationGraph
from pipeline_src.graph.saturation import LARGEST_SUM

if TYPE_CHECKING:
    from torch import Tensor, nn

LABEL = "ONNX"
SUFFIX = ".onnx"
LIBRARIES: tuple[str, ...] = ("torch", "torchao", "onnx", "onnxruntime")
RUNTIME = "onnxruntime"
DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
VARIANTS: tuple[str, ...] = interface.VARIANTS

# The session option that makes int8 sums exact on CPUs without VNNI. It halves the speed on a CPU with VNNI
# (benchmarks/int8_on_this_cpu.py), so only files that need it set it.
EXACT_OPTION = "session.x64quantprecision"

EXAMPLE = """import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import
import onnxruntime

options = onnxruntime.SessionOptions(){exact}
session = onnxruntime.InferenceSession("{file}", options)
{given} = session.run(None, {{"{taken}": {tensor}.transpose(2, 0, 1)[None]}})[0][0].transpose(1, 2, 0)"""
INEXACT = """
# This file is the same net on every CPU: it needs no session option x64quantprecision, which would be slower."""
EXACT = f"""
options.add_session_config_entry("{EXACT_OPTION}", "1")  # exact on CPUs without VNNI too"""


def library() -> Any:
    """Import onnxruntime without its telemetry, which from 1.29 on writes a database under ~/.cache."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where a program had imported it before it called load_model
    return onnxruntime


# --- writing


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>.onnx``, which accepts images of any size."""
    return [export_file(net, folder / f"{stem}{SUFFIX}")]


def export_file(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    """Write one file of a super-resolution net; see :func:`onnx_writer.serialize` for its images."""
    from pipeline_src.deployment import onnx_writer

    file.write_bytes(onnx_writer.serialize(net, size))
    return ModelFile.of(net, file, tensor_spec(net), size)


def export_for_tensorrt(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    """Write a file of the int8 form that TensorRT takes (:mod:`pipeline_src.graph.symmetric`); its images are float."""
    from pipeline_src.deployment import onnx_writer
    from pipeline_src.graph.symmetric import symmetric

    file.write_bytes(onnx_writer.serialize(symmetric(net), size, signed=True))
    return ModelFile.of(net, file, TensorSpec("float32", "NCHW"), size)


def tensor_spec(net: OperationGraph) -> TensorSpec:
    """Return dtype and layout of the images that a net's file takes and gives."""
    return TensorSpec("float32" if net.image.scale is None else "uint8", "NCHW")


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that accepts any size; ``size`` is ignored."""
    from pipeline_src.deployment import onnx_writer

    file.write_bytes(onnx_writer.serialize(net))


def write_module(module: "nn.Module", file: Path, example_input: "Tensor", names: tuple[str, str]) -> None:
    """Write any torch module of standard operators with torch's exporter.

    This is for nets with operators that :mod:`pipeline_src.graph.operations` lacks, such as the GridSample of a learned
    downscaler; :func:`write` is for upscalers.

    Args:
        module: maps one tensor to one tensor, in the mode in which it is to run.
        file: the ONNX file.
        example_input: float32 N×C×H×W; the file accepts the same N and C and any H and W.
        names: of the input and the output tensor.
    """
    import torch

    from pipeline_src.deployment import onnx_writer

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # recommends its successor, which cannot export graphs of any size
        torch.onnx.export(
            module,
            (example_input,),
            str(file),
            dynamo=False,
            opset_version=onnx_writer.OPSET,
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


def provider_of(device: str) -> str:
    """Return the execution provider of a device, such as ``cpu``, ``cuda``, ``tensorrt``, ``coreml`` or ``dml``.

    Raises:
        UserError: if the installed ONNX Runtime does not have it.
    """
    providers = {
        name.removesuffix("ExecutionProvider").lower(): name
        for name in library().get_available_providers()
        if not name.startswith("Azure")  # which sends images to a server, and is no device
    }
    if device.lower() not in providers:
        known = ", ".join(sorted(providers))
        raise UserError(
            f"ONNX Runtime has no device {device} here, but {known}; choose one of them with --device, or install "
            "the build of onnxruntime that has it"
        )
    return str(providers[device.lower()])


def open_session(file: Path, threads: int, *, exact: bool, device: str = CPU) -> Any:
    """Return a session.

    Args:
        file: the ONNX file.
        threads: number of threads.
        device: see :func:`provider_of`; operators that its provider lacks run on the CPU.
        exact: sum int8 products without saturation on CPUs without VNNI; slower on CPUs with it.
    """
    options = library().SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if exact:
        options.add_session_config_entry(EXACT_OPTION, "1")
    chosen = provider_of(device)
    session = library().InferenceSession(file, options, providers=list(dict.fromkeys((chosen, provider_of(CPU)))))
    if chosen not in session.get_providers():  # ONNX Runtime goes on without a provider that cannot start
        raise UserError(f"ONNX Runtime cannot start {chosen} here, and says why above; choose --device cpu")
    return session


def load(file: Path, card: Card, threads: int, device: str = CPU) -> Runner:
    """Open a net, in exact mode if its int8 sums can saturate.

    Raises:
        UserError: if ONNX Runtime refuses the file, or lacks the device.
    """
    from pipeline_src.deployment import pixels

    saturates = card.largest_sum > LARGEST_SUM
    how = (
        f" in the exact mode ({EXACT_OPTION}) that it needs, because its int8 weights saturate on CPUs without VNNI",
        "quantise the net again",
    )
    with opening(file, "ONNX Runtime", *(how if saturates else ())):
        session = open_session(file, threads, exact=saturates, device=device)
    (taken,) = session.get_inputs()
    check_input(file, card, DTYPES.get(taken.type, taken.type), taken.shape[2:])
    return Runner(
        card.scale,
        lambda image: pixels.to_nchw(image, card.input.dtype),
        lambda image: session.run(None, {taken.name: image})[0],
        pixels.from_nchw,
        pixels.values_from_nchw,
        card.size,
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    """Return a function that runs a file with any inputs on random tensors."""
    random = np.random.default_rng(0)
    with opening(file, "ONNX Runtime"):
        session = open_session(file, threads, exact=False)
    inputs = {
        tensor.name: random.integers(0, 100, (*tensor.shape[:2], *size)).astype(DTYPES[tensor.type])
        for tensor in session.get_inputs()
    }
    return lambda: session.run(None, inputs)


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Return {}: ONNX Runtime raises an exception if it cannot run a file."""
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
    """Return a Python program that upscales ``photo.png`` with the file, in exact mode if it needs that."""
    if largest_sum:
        return examples.program(EXAMPLE, model, exact=EXACT if largest_sum > LARGEST_SUM else INEXACT)
    return examples.program(EXAMPLE, model, exact="")
