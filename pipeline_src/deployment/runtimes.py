"""Opens a file in any runtime as a function from an LR image, uint8 H×W×3, to an SR image, uint8 sH×sW×3."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_src.deployment import cards, pixels
from pipeline_src.deployment.formats import format_of
from pipeline_src.deployment.interface import Runner as Runner  # exported, because load returns it
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = ".safetensors"  # a float net, which torch runs


def load(path: Path, threads: int, *, scale: int | None = None) -> Runner:
    """Open a model file on the CPU.

    Args:
        path: an exported file with its card, or ``.safetensors``, the float net in torch.
        threads: number of threads of the runtime.
        scale: one of the scales of a ``.safetensors`` net that has several; an exported file has one.

    Raises:
        UserError: if the file is missing or damaged, lacks the scale, or if the runtime cannot open it.
    """
    if path.suffix == WEIGHTS:
        return _load_torch(path, threads, scale)
    file_format = format_of(path)
    card = cards.read(path)
    chosen_scale(path, [card.scale], scale)
    return file_format.load(path, card, threads)


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


def in_torch(net: "Callable[[Tensor], Tensor]", scale: int) -> Runner:
    """Return the runner of a module in eval mode, or of a graph of ``folding.fold``.

    Args:
        net: maps float32 N×3×H×W in 0..255 to N×3×sH×sW.
        scale: upscaling factor s.
    """
    import torch

    def to_input(image: np.ndarray) -> torch.Tensor:
        # Channels-last is faster for convolutions on a CPU, and is the memory layout of an image.
        return torch.from_numpy(pixels.to_nhwc(image, "float32")).permute(0, 3, 1, 2)

    def infer(lr: torch.Tensor) -> Any:
        with torch.inference_mode():
            return net(lr)

    return Runner(scale, to_input, infer, lambda sr: pixels.from_nchw(sr.contiguous().numpy()))


def _load_torch(path: Path, threads: int, scale: int | None) -> Runner:
    import torch

    from pipeline_src.weights import load_net

    torch.set_num_threads(threads)
    net, _ = load_net(path)
    factor = chosen_scale(path, net.description.scales, scale)
    module = net.at_scale(factor).eval()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # unknown to torch's stubs
    return in_torch(module, factor)
