"""Every runtime as one callable: from an LR image, uint8 H×W×3, to an SR image, uint8 sH×sW×3."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.compression.ranges import LARGEST_SUM
from pipeline_src.deployment import cards, pixels
from pipeline_src.deployment import onnx as ort
from pipeline_src.deployment import openvino as ov
from pipeline_src.errors import UserError

SMALLEST = 8  # pixels a side of what the nets take


@dataclass(frozen=True)
class Runner:
    """An upscaler of RGB images: uint8 H×W×3 to uint8 sH×sW×3. For a grey image, stack it to three channels.

    An image smaller than the nets take is mirrored to that size first. ``infer`` is the runtime's own call, on the
    tensor that ``to_input`` makes of an image; ``to_output`` makes an image of what it gives. What ``infer`` gives is
    valid until the next ``infer``; the image of ``to_output`` is the caller's.
    """

    scale: int
    to_input: Callable[[np.ndarray], Any]
    infer: Callable[[Any], Any]
    to_output: Callable[[Any], np.ndarray]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST:
            grow = [(0, max(0, SMALLEST - side)) for side in (height, width)]
            image = np.pad(image, [*grow, (0, 0)], "symmetric")
        sr = self.to_output(self.infer(self.to_input(image)))
        return sr[: height * self.scale, : width * self.scale]


def load(path: Path, threads: int, *, scale: int | None = None) -> Runner:
    """Open a model by its suffix: ``.safetensors`` (the float net in torch), ``.onnx``, ``.xml`` or ``.tflite``.

    ``scale`` chooses among the scales of a ``.safetensors`` net that has several; an exported file has one. Raises
    UserError if the file is missing or damaged, has not that scale, or if the runtime cannot open it. (The stage export
    has tried each OpenVINO file in a child process, because its compiler has been seen to crash.)
    """
    loaders: dict[str, Callable[[Path, cards.Card, int], Runner]] = {
        ".onnx": _onnx,
        ".xml": _openvino,
        ".tflite": _tflite,
    }
    if path.suffix == ".safetensors":
        return _torch(path, threads, scale)
    if path.suffix not in loaders:
        raise UserError(f"{path} is no model file; give one that ends in .safetensors, {', '.join(loaders)}")
    card = cards.read(path)
    chosen_scale(path, [card.scale], scale)
    return loaders[path.suffix](path, card, threads)


def chosen_scale(what: object, scales: Sequence[int], scale: int | None) -> int:
    """``scale``, or the only one of ``scales`` if it is None; UserError if ``what`` has it not, or leaves a choice."""
    known = ", ".join(f"×{one}" for one in scales)
    if scale is None and len(scales) > 1:
        raise UserError(f"{what} upscales {known}; choose one of them with --scale")
    if scale is not None and scale not in scales:
        raise UserError(f"{what} upscales {known}, not ×{scale}; choose another --scale")
    return scale or scales[0]


def import_for(path: Path) -> None:
    """Import the libraries that :func:`load` needs for a file, so that their memory is not taken for the model's."""
    libraries = {".safetensors": "torch", ".tflite": "ai_edge_litert.interpreter"}
    if path.suffix == ".xml":
        ov.library()
    elif path.suffix == ".onnx":
        ort.library()
    elif path.suffix in libraries:
        importlib.import_module(libraries[path.suffix])


def _cannot_open(path: Path, runtime: str, error: Exception) -> UserError:
    return UserError(f"{runtime} cannot open {path} ({' '.join(str(error).split())[:200]}); export it again")


def _torch(path: Path, threads: int, scale: int | None) -> Runner:
    import torch

    from pipeline_src.training.weights import load_net

    torch.set_num_threads(threads)
    whole, _ = load_net(path)
    factor = chosen_scale(path, whole.description.scales, scale)
    # Channels-last: the faster order for convolutions on a CPU, and then an image is the tensor itself.
    net = whole.at_scale(factor).eval().to(memory_format=torch.channels_last)

    def to_input(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels.to_nhwc(image, "float32")).permute(0, 3, 1, 2)

    def infer(lr: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return net(lr)

    def to_output(sr: torch.Tensor) -> np.ndarray:
        return pixels.from_nchw(sr.contiguous().numpy())

    return Runner(factor, to_input, infer, to_output)


def _onnx(path: Path, card: cards.Card, threads: int) -> Runner:
    onnxruntime = ort.library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if card.largest_sum > LARGEST_SUM:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base class
        raise _cannot_open(path, "ONNX Runtime", error) from None
    return Runner(
        card.scale,
        lambda image: pixels.to_nchw(image, card.input.dtype),
        lambda lr: session.run(None, {"lr": lr})[0],
        pixels.from_nchw,
    )


def _openvino(path: Path, card: cards.Card, threads: int) -> Runner:
    requests: dict[tuple[int, int], Any] = {}

    def request_for(size: tuple[int, int]) -> Any:
        if size not in requests:  # compiled for the size at hand, the last one only: 0.1 to 2 s per change of size
            requests.clear()
            try:
                requests[size] = ov.compile_model(path, threads, size).create_infer_request()
            except RuntimeError as error:
                raise _cannot_open(path, "OpenVINO", error) from None
        return requests[size]

    def infer(lr: np.ndarray) -> np.ndarray:
        request = request_for(lr.shape[2:])
        request.infer([lr], share_inputs=True, share_outputs=True)
        return request.get_output_tensor().data

    try:
        ov.library().Core().read_model(path)
    except RuntimeError as error:
        raise _cannot_open(path, "OpenVINO", error) from None
    return Runner(card.scale, lambda image: pixels.to_nchw(image, card.input.dtype), infer, pixels.from_nchw)


def _tflite(path: Path, card: cards.Card, threads: int) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _cannot_open(path, "TFLite", error) from None
    lr_index, sr_index = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def infer(lr: np.ndarray) -> Callable[[], np.ndarray]:
        if lr.shape != tuple(interpreter.get_input_details()[0]["shape"]):
            if card.size:
                raise UserError(
                    f"{path} takes {card.size[0]}×{card.size[1]} pixels alone, not {lr.shape[1]}×{lr.shape[2]}"
                )
            interpreter.resize_tensor_input(lr_index, lr.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(lr_index, lr)
        interpreter.invoke()
        return interpreter.tensor(sr_index)  # the way to the tensor: a view of it would block the next invoke

    return Runner(
        card.scale, lambda image: pixels.to_nhwc(image, card.input.dtype), infer, lambda sr: pixels.from_nhwc(sr())
    )
