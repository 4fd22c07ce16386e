"""Int8 nets through PyTorch's PT2E flow: post-training quantisation (PTQ) and quantisation-aware training (QAT).

A *prepared* graph is the float net with fake quantisation at every place the quantizer annotates: it computes what the
int8 net will compute, and it can be trained. Its state (weights, scales, zero points, ranges) is what is kept;
:func:`convert` turns it into the int8 net that the exporters take, which gives the same images to the bit.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.export import Dim

from pipeline_src.compression.ranges import least_error_range
from pipeline_src.errors import UserError
from pipeline_src.training.weights import load_tensors, save_tensors

# At its import torchao says of each of its CUDA kernels that it is not for this machine.
logging.getLogger("torchao").setLevel(logging.ERROR)

SIDES = {"min": 8, "max": 8192}  # pixels an exported graph takes; every torch.export of one graph must state the same


def prepare(net: nn.Module) -> fx.GraphModule:
    """The net, float NCHW in 0..255 on both sides, with fake quantisation; its weights are copies.

    The graph takes any batch, height and width. Its observers are on and its ranges unset: calibrate it next.
    """
    from torchao.quantization.pt2e import allow_exported_model_train_eval
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    from pipeline_src.compression.quantizer import SuperResolutionQuantizer

    sides = {0: Dim("batch", min=1, max=1024), 2: Dim("height", **SIDES), 3: Dim("width", **SIDES)}
    example = torch.zeros(2, 3, 24, 32)
    graph: Any = torch.export.export(copy.deepcopy(net).cpu().train(), (example,), dynamic_shapes=(sides,)).module()
    _remove_clamp(graph)
    return allow_exported_model_train_eval(prepare_qat_pt2e(graph, SuperResolutionQuantizer()))


def _remove_clamp(graph: fx.GraphModule) -> None:
    """Take out a clamp to 0..255: quantising the output to 0..255 saturates just so, and costs nothing."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.clamp.default and node.args[1:] == (0, 255):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def calibrate(prepared: fx.GraphModule, images: Sequence[np.ndarray]) -> None:
    """Set the ranges of a prepared graph from LR images, uint8 H×W×3; observers are off and fake quantisation on after.

    An activation gets the range of least squared error over the values it takes in the float net, a weight channel that
    of its weights. Raises UserError if there is no image.
    """
    from torchao.quantization.pt2e import disable_fake_quant, disable_observer, enable_fake_quant, enable_observer

    if not images:
        raise UserError("there is no image to calibrate with; set quantize.calibration_images to 1 or more")
    prepared.eval()
    prepared.apply(disable_fake_quant)
    prepared.apply(enable_observer)
    activations = _activations(prepared)
    values: dict[str, list[torch.Tensor]] = {name: [] for name in activations}
    hooks = [
        module.register_forward_hook(lambda _, inputs, __, name=name: values[name].append(inputs[0].flatten()))
        for name, module in activations.items()
    ]
    with torch.inference_mode():
        for image in images:
            prepared(torch.tensor(image).permute(2, 0, 1)[None].float())
    for hook in hooks:
        hook.remove()
    for name, module in activations.items():
        _set_range(module, *least_error_range(torch.cat(values.pop(name))))
    prepared.apply(disable_observer)
    prepared.apply(enable_fake_quant)


def _activations(prepared: fx.GraphModule) -> dict[str, Any]:
    """The fake quantisations whose range is learnt from activations, each once."""
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver

    return {
        name: module
        for name, module in prepared.named_modules()
        if isinstance(module, FakeQuantize) and type(module.activation_post_process) is MovingAverageMinMaxObserver
    }


def _set_range(activation: Any, low: float, high: float) -> None:
    observer = activation.activation_post_process
    observer.min_val.fill_(low)
    observer.max_val.fill_(high)
    scale, zero_point = observer.calculate_qparams()
    activation.scale.copy_(scale)
    activation.zero_point.copy_(zero_point)


@contextmanager
def observers_off(prepared: fx.GraphModule) -> Iterator[None]:
    """Keep what a graph sees in this block (validation images, say) out of its ranges."""
    from torchao.quantization.pt2e import disable_observer

    flags = [flag for name, flag in prepared.named_buffers() if name.endswith("observer_enabled")]
    before = [flag.clone() for flag in flags]
    prepared.apply(disable_observer)
    try:
        yield
    finally:
        for flag, enabled in zip(flags, before, strict=True):
            flag.copy_(enabled)


def freeze_ranges(prepared: fx.GraphModule, after: int) -> Callable[[int], None]:
    """For :func:`training.loop.fit`: ranges follow the activations and the weights until step ``after``, then stay."""
    from torchao.quantization.pt2e import disable_observer, enable_observer

    def before_step(step: int) -> None:
        prepared.apply(enable_observer if step < after else disable_observer)

    return before_step


def convert(prepared: fx.GraphModule, *, fold: bool) -> fx.GraphModule:
    """The int8 net of a prepared graph, NCHW; the same images to the bit. The prepared graph is left as it was.

    ``fold`` stores the weights as int8 (for ONNX); otherwise they stay float behind a quantise operator (for TFLite).
    """
    from torchao.quantization.pt2e import allow_exported_model_train_eval, disable_observer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    graph = copy.deepcopy(prepared).cpu()
    graph.apply(disable_observer)
    return allow_exported_model_train_eval(convert_pt2e(graph, fold_quantize=fold))


def save(path: Path, prepared: dict[int, fx.GraphModule], metadata: dict[str, Any]) -> None:
    """Write the prepared graph of each scale: its state alone, as safetensors."""
    tensors: dict[str, torch.Tensor] = {}
    for scale, graph in prepared.items():
        tensors |= {f"x{scale}.{key}": value for key, value in graph.state_dict().items()}
    save_tensors(path, tensors, metadata)


def load(path: Path, net: Any) -> dict[int, fx.GraphModule]:
    """The prepared graphs of :func:`save`, built again from the float net; UserError if they are of another net."""
    tensors, _ = load_tensors(path)
    graphs = {scale: prepare(net.at_scale(scale)) for scale in net.description.scales}
    for scale, graph in graphs.items():
        prefix = f"x{scale}."
        try:
            graph.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise UserError(
                f"{path} does not fit the float net it should come from: {first}; run quantize again"
            ) from None
    return graphs
