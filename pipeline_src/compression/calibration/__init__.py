"""Post-training quantisation (PTQ): an int8 net from a float net and a few images, without training.

First channels are equalised, then every activation gets its range, then the weights are rounded.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from pipeline_src.compression.calibration.equalisation import equalise
from pipeline_src.compression.calibration.running import run
from pipeline_src.compression.quantization.ranges import least_error_range
from pipeline_src.compression.quantization.rounding import InputStatistics, round_biases
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import GraphNet

SAMPLES = 2**16  # values of an activation that are kept of each image, besides the extremes


def calibrate(
    prepared: GraphNet,
    images: Mapping[int, Sequence[np.ndarray]],
    before_rounding: Callable[[int, fx.GraphModule], None] = lambda scale, graph: None,
) -> None:
    """Set weights, biases and ranges of a prepared net, in place.

    An activation gets the range of least squared error over its values in the float net. A channel of weights gets the
    smallest step that cannot saturate. Weights are then rounded by :mod:`rounding`. Afterwards observers are off and
    fake quantisation is on.

    Args:
        prepared: From :func:`quantization.prepare`.
        images: LR images of each scale, uint8 H×W×3.
        before_rounding: Called with each scale and its graph, calibrated but for the rounding of weights.

    Raises:
        UserError: If a scale has no image.
    """
    from torchao.quantization.pt2e import disable_fake_quant, enable_fake_quant

    prepared.apply(disable_fake_quant)
    for scale in prepared.description.scales:
        if not images[scale]:
            raise UserError("there is no image to calibrate with; set quantize.calibration_images to 1 or more")
        graph = prepared.at_scale(scale)
        statistics = _set_ranges(graph, images[scale])
        graph.apply(enable_fake_quant)
        before_rounding(scale, graph)
        statistics.round_weights()
        round_biases(graph)


def _set_ranges(graph: fx.GraphModule, images: Sequence[np.ndarray]) -> InputStatistics:
    """Equalise channels, set the range of every activation and the steps of weights; return what rounding needs.

    The images run twice: once to equalise, which changes the weights, and once for all that depends on these weights.
    """
    from torchao.quantization.pt2e import disable_observer, enable_observer

    graph.apply(disable_observer)
    equalise(graph, images)
    graph.apply(enable_observer)  # of the weights only: ranges of activations are searched here
    activations = _activations(graph)
    for activation in activations.values():
        activation.disable_observer()
    values: dict[Any, list[Tensor]] = defaultdict(list)  # by module: nodes that share a scale share a module
    statistics = InputStatistics(graph)
    random = torch.Generator().manual_seed(0)

    def record(node: Any, result: Any) -> None:
        if node.op == "call_module" and node.target in activations:
            values[activations[node.target]].append(_sample(result, random))
        statistics.record(node, result)

    run(graph, images, record)
    for module, samples in values.items():
        _set_range(module, *least_error_range(torch.cat(samples)))
    graph.apply(disable_observer)
    return statistics


def _set_range(module: Any, low: float, high: float) -> None:
    """Set the range of a fake quantisation, and the scale and zero point that follow from it."""
    observer = module.activation_post_process
    observer.min_val.fill_(low)
    observer.max_val.fill_(high)
    scale, zero_point = observer.calculate_qparams()
    module.scale.copy_(scale)
    module.zero_point.copy_(zero_point)


def _sample(values: Tensor, random: torch.Generator) -> Tensor:
    """Return ``SAMPLES`` random values and the extremes, or all values if there are no more."""
    channels_last = values.is_contiguous(memory_format=torch.channels_last)
    flat = (values.permute(0, 2, 3, 1) if channels_last else values).flatten()  # in the order of memory: no copy
    if len(flat) <= SAMPLES:
        return flat.clone()
    return torch.cat([flat[torch.randint(len(flat), (SAMPLES,), generator=random)], torch.stack(flat.aminmax())])


def _activations(graph: fx.GraphModule) -> dict[str, Any]:
    """Return the fake quantisations whose range depends on the images, under each of their names."""
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver

    return {
        name: module
        for name, module in graph.named_modules(remove_duplicate=False)
        if isinstance(module, FakeQuantize) and type(module.activation_post_process) is MovingAverageMinMaxObserver
    }
