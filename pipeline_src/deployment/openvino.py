"""OpenVINO IR files (``.xml`` and ``.bin``), made from the ONNX files, and how a model is compiled."""

import subprocess
import sys
from pathlib import Path
from typing import Any


def library() -> Any:
    """The module openvino, without its telemetry: that sends usage to a server, from a process forked off a thread."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


def export(onnx_model: Path, xml: Path, *, halves: bool = False) -> None:
    """Write the IR of an ONNX file: ``xml`` and the ``.bin`` beside it, weights as they are, or cut to 16 bits."""
    openvino = library()
    openvino.save_model(openvino.Core().read_model(onnx_model), xml, compress_to_fp16=halves)


def compile_model(xml: Path, threads: int, size: tuple[int, int] | None = None) -> Any:
    """The compiled model on the CPU in true float32 (recent CPUs would run bfloat16), for latency.

    ``size`` (height, width of the LR image) fixes the shape, which runs up to 1.3 times as fast as an open one.
    """
    core = library().Core()
    model = core.read_model(xml)
    if size:
        model.reshape({end: [*[*end.partial_shape][:2], *size] for end in model.inputs})
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    return core.compile_model(model, "CPU", config)


def try_compile(folder: Path, size: tuple[int, int] = (24, 32)) -> dict[Path, str]:
    """Compile and run every model under a folder in a child process; what cannot be run, and why.

    OpenVINO has been seen to die of a segmentation fault while compiling a quantised graph. Costs a second, and little
    more for each model; a crash, a second more.
    """
    left, failed = sorted(folder.rglob("*.xml")), {}
    while left:
        child = [sys.executable, "-m", __name__, *map(str, (*size, *left))]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        tried = len(done.stdout.splitlines())
        if not tried:
            raise RuntimeError(done.stderr)
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        crashed = f"OpenVINO crashes on it (signal {-done.returncode})"
        failed[left[tried - 1]] = crashed if done.returncode < 0 else f"OpenVINO cannot run it: {reason}"
        left = left[tried:]
    return failed


def _try(size: tuple[int, int], files: list[Path]) -> None:
    import numpy as np

    for xml in files:
        print(xml, flush=True)  # before it is tried, so that the last name printed is that of the file that crashed
        model = compile_model(xml, threads=1, size=size)
        model([np.zeros(end.shape, end.element_type.to_dtype()) for end in model.inputs])


if __name__ == "__main__":
    _try((int(sys.argv[1]), int(sys.argv[2])), [Path(name) for name in sys.argv[3:]])
