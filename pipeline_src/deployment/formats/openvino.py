"""OpenVINO IR files (``.xml`` and ``.bin``), converted from ONNX, and the runtime for Intel and other CPUs."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline_src.deployment import examples, interface
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.deployment.formats import onnx
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
from pipeline_src.graph.operations import OperationGraph

LABEL = "OpenVINO"
SUFFIX = ".xml"
LIBRARIES: tuple[str, ...] = ("torch", "torchao", "onnx", "openvino")
RUNTIME = "openvino"
VARIANTS: tuple[str, ...] = interface.VARIANTS
LARGEST_GRAPH = 1_000_000  # bytes of an .xml

# The command that runs files in a child process. Its arguments are height, width, and the files.
TRIAL = [
    sys.executable,
    "-c",
    "import sys; from pipeline_src.deployment.formats import openvino; openvino.run_each(*sys.argv[1:])",
]

EXAMPLE = """import openvino

model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
{given} = model({tensor}.transpose(2, 0, 1)[None])[0][0].transpose(1, 2, 0)"""


def library() -> Any:
    """Import openvino without its telemetry, which reports usage to a server from a forked process."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


# --- writing


def export(net: OperationGraph, folder: Path, stem: str, size: Size) -> list[ModelFile]:
    """Write ``<stem>.xml`` and ``.bin``, which accept images of any size."""
    return [export_file(net, folder / f"{stem}{SUFFIX}")]


def export_file(net: OperationGraph, file: Path, size: Size | None = None) -> ModelFile:
    """Write one file of a super-resolution net, ``file`` and the ``.bin`` beside it."""
    write_ir(net, file, size=size)
    return ModelFile.of(net, file, tensor_spec(net), size)


def tensor_spec(net: OperationGraph) -> TensorSpec:
    """Return dtype and layout of the images that a net's file takes and gives, the same as those of its ONNX file."""
    return onnx.tensor_spec(net)


def write(net: OperationGraph, file: Path, size: Size | None = None) -> None:
    """Write a net that accepts any size; ``size`` is ignored."""
    write_ir(net, file)


def write_ir(net: OperationGraph, file: Path, *, halves: bool = False, size: Size | None = None) -> None:
    """Write the IR of a net, ``file`` and the ``.bin`` beside it.

    Args:
        net: the operations.
        file: the ``.xml``.
        halves: store weights in 16 bits.
        size: the one height and width of its inputs; None for any.
    """
    with TemporaryDirectory() as scratch:
        onnx_file = Path(scratch) / "net.onnx"
        onnx.write(net, onnx_file)
        from_onnx(onnx_file, file, halves=halves, size=size)


def from_onnx(onnx_file: Path, file: Path, *, halves: bool = False, size: Size | None = None) -> None:
    """Convert an ONNX file to IR, ``file`` and the ``.bin`` beside it; arguments as for :func:`write_ir`."""
    openvino = library()
    model = openvino.Core().read_model(onnx_file)
    if size:
        model.reshape(_shapes(model, size))
    try:
        openvino.save_model(model, file, compress_to_fp16=halves)
    except RuntimeError:
        _raise_what_the_system_says(file, onnx_file.stat().st_size + LARGEST_GRAPH)
        raise


def _raise_what_the_system_says(file: Path, size: int) -> None:
    """Raise the OSError of writing ``size`` bytes, if there is one; OpenVINO says "iostream error" of every cause."""
    try:
        file.write_bytes(bytes(size))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


def _shapes(model: Any, size: Size) -> dict[Any, list[Any]]:
    """Return the shapes of a model's inputs with this height and width."""
    return {tensor: [*[*tensor.partial_shape][:2], *size] for tensor in model.inputs}


def parts(file: Path) -> list[Path]:
    """Return the ``.xml`` with the graph and the ``.bin`` with the weights."""
    return [file, file.with_suffix(".bin")]


# --- running


def import_runtime() -> None:
    """Import OpenVINO."""
    library()


def compile_model(file: Path, threads: int, size: Size | None = None) -> Any:
    """Compile a model for the CPU, for latency, in true float32 (recent CPUs would compute in bfloat16).

    Args:
        file: the ``.xml``.
        threads: number of threads.
        size: height and width to fix for the inputs; a fixed shape runs up to 1.3 times as fast as an open one.

    Raises:
        UserError: if OpenVINO refuses the file.
    """
    core = library().Core()
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    with opening(file, "OpenVINO"):
        model = core.read_model(file)
        if size:
            model.reshape(_shapes(model, size))
        return core.compile_model(model, "CPU", config)


def load(file: Path, card: Card, threads: int, device: str = CPU) -> Runner:
    """Open a net; it is compiled for the size of an image, which takes 0.1 to 2 s at each change of size.

    The compiler can crash, so ``try_out`` runs each file in a child process first, at export.

    Raises:
        UserError: if OpenVINO refuses the file, or another device is asked for.
    """
    from pipeline_src.deployment import pixels

    require_cpu("OpenVINO", device)
    requests: dict[Size, Any] = {}

    def request_for(size: Size) -> Any:
        if size not in requests:
            requests.clear()
            requests[size] = compile_model(file, threads, size).create_infer_request()
        return requests[size]

    def infer(lr: np.ndarray) -> np.ndarray:
        request = request_for((lr.shape[2], lr.shape[3]))
        request.infer([lr], share_inputs=True, share_outputs=True)
        sr: np.ndarray = request.get_output_tensor().data
        return sr

    with opening(file, "OpenVINO"):
        model = library().Core().read_model(file)
    sides = [0 if side.is_dynamic else side.get_length() for side in [*model.input(0).partial_shape][2:]]
    check_input(file, card, model.input(0).element_type.to_dtype().name, sides)
    return Runner(
        card.scale,
        lambda image: pixels.to_nchw(image, card.input.dtype),
        infer,
        pixels.from_nchw,
        pixels.values_from_nchw,
        card.size,
    )


def raw_call(file: Path, size: Size, threads: int) -> Callable[[], object]:
    """Return a function that runs a file with any inputs on random tensors."""
    random = np.random.default_rng(0)
    model = compile_model(file, threads, size)
    request = model.create_infer_request()
    for tensor in model.inputs:
        request.get_tensor(tensor).data[:] = random.integers(0, 100, tensor.shape)
    call: Callable[[], object] = request.infer
    return call


# --- trying out


def try_out(files: Sequence[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Compile and run files in a child process; return those that cannot be run, and the reasons.

    OpenVINO sometimes ends in a segmentation fault while it compiles a quantised graph. The trial takes a second, and
    another one after each crash.
    """
    remaining, failures = sorted(files), {}
    while remaining:
        command = [*TRIAL, *map(str, (*size, *remaining))]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if not process.returncode:
            break
        started = len(process.stdout.splitlines())
        if not started:
            raise RuntimeError(process.stderr)
        message = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
        crash = f"OpenVINO crashes on it (signal {-process.returncode})"
        failures[remaining[started - 1]] = crash if process.returncode < 0 else f"OpenVINO cannot run it: {message}"
        remaining = remaining[started:]
    return failures


def run_each(height: str, width: str, *files: str) -> None:
    """Run files one after the other in the child process of ``try_out``, and print the name of each before it runs.

    If the process crashes, the last name printed is that of the file at fault.
    """
    for file in files:
        sys.stdout.write(f"{file}\n")
        sys.stdout.flush()
        model = compile_model(Path(file), threads=1, size=(int(height), int(width)))
        model([np.zeros(tensor.shape, tensor.element_type.to_dtype()) for tensor in model.inputs])


# --- describing


def operators(file: Path) -> Iterator[Operator]:
    """Yield the operators of an IR file in the order they run."""
    for op in library().Core().read_model(file).get_ordered_ops():
        if op.get_type_name() in ("Parameter", "Constant", "Result"):
            continue
        sources = [port.get_source_output() for port in op.inputs()]
        constants = [source for source in sources if source.get_node().get_type_name() == "Constant"]
        computed = [source for source in sources if source.get_node().get_type_name() != "Constant"]
        yield Operator.of(
            op.get_type_name(),
            (output.get_element_type().to_dtype().name for output in [*computed, *op.outputs()]),
            (output.get_element_type().to_dtype().name for output in constants),
        )


def example(model: ModelFile, largest_sum: int) -> str:
    """Return a Python program that upscales ``photo.png`` with the file."""
    return examples.program(EXAMPLE, model)
