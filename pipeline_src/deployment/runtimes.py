"""Opens a file in any runtime as a function from an image, uint8 H×W×3, to the upscaled or downscaled one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_src.deployment import cards, pixels
from pipeline_src.deployment.formats import format_of
from pipeline_src.deployment.interface import CPU
from pipeline_src.deployment.interface import Runner as Runner  # exported, because load returns it
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = ".safetensors"  # a float net, which torch runs


def load(path: Path, threads: int, *, scale: int | None = None, device: str = CPU) -> Runner:
    """Open a model file.

    Args:
        path: an exported file with its card, or ``.safetensors``, the float net in torch.
        threads: number of threads of the runtime.
        scale: one of the scales of a ``.safetensors`` net that has several; an exported file has one.
        device: ``cpu``; in torch also ``cuda``, ``cuda:1``, … and ``mps``, in ONNX Runtime its execution providers.

    Raises:
        UserError: if the file is missing or damaged, lacks the scale, if the runtime cannot open it, or if there is no
            such device.
    """
    if path.suffix == WEIGHTS:
        return _load_torch(path, threads, scale, device)
    file_format = format_of(path)
    card = cards.read(path)
    chosen_scale(path, [card.scale], scale)
    runner = file_format.load(path, card, threads, device)
    return replace(runner, file=path, downscales=card.downscales, multiple=card.multiple_of)


def chosen_scale(model: object, scales: Sequence[int], scale: int | None) -> int:
    """Return ``scale``, or the only one of ``scales`` if it is None.

    Raises:
        UserError: if ``model`` does not have this scale, or if ``scale`` is None and there are several.
    """
    known = ", ".join(f"×{available}" for available in scales)
    if scale is None and len(scales) > 1:
        raise UserError(f"{model} upscales {known}; choose one of them with --scale")
    if scale is not None and scale not in scales:
        raise UserError(f"{model} upscales {known}, not ×{scale}; choose another --scale")
    return scale or scales[0]


def import_for(path: Path) -> None:
    """Import the libraries that :func:`load` needs for a file, so that a model's memory is measured without theirs."""
    if path.suffix == WEIGHTS:
        import torch  # noqa: F401
    else:
        format_of(path).import_runtime()


def in_torch(net: "Callable[[Tensor], Tensor]", scale: int, device: str = CPU, *, downscales: bool = False) -> Runner:
    """Return the runner of a module in eval mode, or of a graph of ``folding.fold``.

    Args:
        net: maps float32 N×3×H×W in 0..255 to N×3×sH×sW, or to N×3×(H/s)×(W/s).
        scale: the factor s.
        device: where the module is.
        downscales: whether it is a downscaler, which takes images whose sides are multiples of the factor.
    """
    import torch

    def to_input(image: np.ndarray) -> torch.Tensor:
        # Channels-last is faster for convolutions on a CPU, and is the memory layout of an image.
        return torch.from_numpy(pixels.to_nhwc(image, "float32")).permute(0, 3, 1, 2).to(device)

    def infer(lr: torch.Tensor) -> Any:
        with torch.inference_mode():
            return net(lr)

    def planes(sr: torch.Tensor) -> np.ndarray:
        array: np.ndarray = sr.contiguous().cpu().numpy()
        return array

    return Runner(
        scale,
        to_input,
        infer,
        lambda image: pixels.from_nchw(planes(image)),
        lambda image: pixels.values_from_nchw(planes(image)),
        downscales=downscales,
        multiple=scale if downscales else 1,
    )


def torch_device(device: str) -> str:
    """Return a device of torch, ``cpu``, ``cuda``, ``cuda:1``, … or ``mps``, after a look at whether it is there.

    Raises:
        UserError: if torch does not know or cannot see it.
    """
    import torch

    kind, _, index = device.partition(":")
    number = int(index) if index.isdecimal() else 0
    usable = {
        CPU: not index,
        "cuda": number < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available() and not number,
    }
    if kind not in usable or (index and not index.isdecimal()):
        raise UserError(f"torch has no device {device}; choose --device cpu, cuda or mps")
    if not usable[kind]:
        raise UserError(f"torch sees no device {device} here; choose --device cpu, or install a build of torch for it")
    return device


def _load_torch(path: Path, threads: int, scale: int | None, device: str) -> Runner:
    import torch

    from pipeline_src.weights import load_net

    torch.set_num_threads(threads)
    net, _ = load_net(path)
    factor = chosen_scale(path, net.description.scales, scale)
    where = torch_device(device)
    torch.backends.cudnn.allow_tf32 = False  # a GPU would round factors to 10 bits, and give another image
    module = net.at_scale(factor).eval().to(where)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # unknown to torch's stubs
    return in_torch(module, factor, where)
