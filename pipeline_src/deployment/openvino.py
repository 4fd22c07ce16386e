"""OpenVINO IR files (``.xml`` and ``.bin``), made from the ONNX files, and how a model is compiled."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline_src.errors import UserError


def library() -> Any:
    """The module openvino, without its telemetry: that sends usage to a server, from a process forked off a thread."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


def export(onnx_model: Path, xml: Path) -> None:
    """Write the IR of an ONNX file: ``xml`` and the ``.bin`` beside it, weights as they are (not cut to 16 bits)."""
    openvino = library()
    openvino.save_model(openvino.Core().read_model(onnx_model), xml, compress_to_fp16=False)


def compile_model(xml: Path, threads: int, size: tuple[int, int] | None = None) -> Any:
    """The compiled model on the CPU in true float32 (recent CPUs would run bfloat16), for latency.

    ``size`` (height, width of the LR image) fixes the shape, which runs up to 1.3 times as fast as an open one.
    """
    core = library().Core()
    model = core.read_model(xml)
    if size:
        model.reshape([1, 3, *size])
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    return core.compile_model(model, "CPU", config)


def try_compile(folder: Path) -> None:
    """Compile and run every model under a folder in a child process; UserError if that fails or crashes the process.

    OpenVINO has been seen to die of a segmentation fault while compiling a quantised graph. Costs a second, and little
    more for each model.
    """
    child = [sys.executable, "-m", __name__, str(folder)]
    done = subprocess.run(child, capture_output=True, text=True, check=False)
    tried = done.stdout.split()
    if done.returncode < 0:
        raise UserError(
            f"OpenVINO crashes (signal {-done.returncode}) on {folder / tried[-1]}; use the ONNX or TFLite file instead"
        )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"OpenVINO cannot run {folder / tried[-1]} ({reason}); export it again")


def _try(folder: Path) -> None:
    import numpy as np

    for xml in sorted(folder.rglob("*.xml")):
        print(
            xml.relative_to(folder), flush=True
        )  # before, so that the last name printed is that of the file that crashed
        model = compile_model(xml, threads=1, size=(24, 32))
        model(np.zeros(model.inputs[0].shape, model.inputs[0].element_type.to_dtype()))


if __name__ == "__main__":
    _try(Path(sys.argv[1]))
