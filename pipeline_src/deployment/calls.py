"""Files of any inputs, operators and blocks among them, as something to be timed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.deployment import openvino


def ready(file: Path, size: tuple[int, int], threads: int) -> Callable[[], Any]:
    """The runtime's own call of a TFLite or OpenVINO file, whatever its inputs, with random tensors at them."""
    random = np.random.default_rng(0)
    if file.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(file), num_threads=threads)
        interpreter.allocate_tensors()
        for end in interpreter.get_input_details():
            interpreter.set_tensor(end["index"], random.integers(0, 100, end["shape"]).astype(end["dtype"]))
        return interpreter.invoke
    model = openvino.compile_model(file, threads, size)
    request = model.create_infer_request()
    for end in model.inputs:
        request.get_tensor(end).data[:] = random.integers(0, 100, end.shape)
    return request.infer
