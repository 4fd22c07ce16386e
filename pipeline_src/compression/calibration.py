"""An int8 net from a float one and a few images, without training (PTQ).

First the channels that share one scale are made more alike, then every activation gets its range, then the weights are
rounded, each making good what the ones before it have moved.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from pipeline_src.compression.ranges import least_error_range
from pipeline_src.compression.rounding import round_biases, round_weights
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import RELUS, Conv2dArguments, GraphNet, constant, rectified
from pipeline_src.graph.running import run

aten = torch.ops.aten

SAMPLES = 2**16  # values looked at of an activation and an image
LARGEST_FACTOR = 100.0


def calibrate(
    prepared: GraphNet,
    images: Mapping[int, Sequence[np.ndarray]],
    before_rounding: Callable[[int, fx.GraphModule], None] = lambda scale, graph: None,
) -> None:
    """Set weights, biases and ranges of a prepared net from LR images of each scale, uint8 H×W×3.

    An activation gets the range of least squared error over the values it takes in the float net, a channel of weights
    the smallest step that cannot saturate, and then :func:`round_weights` chooses what each weight is rounded to.
    Observers are off and fake quantisation on after. ``before_rounding`` sees the graph of each scale while its weights
    are those of the float net. Raises UserError if there is no image.
    """
    from torchao.quantization.pt2e import disable_fake_quant, disable_observer, enable_fake_quant, enable_observer

    prepared.apply(disable_fake_quant)
    for scale in prepared.description.scales:
        if not images[scale]:
            raise UserError("there is no image to calibrate with; set quantize.calibration_images to 1 or more")
        graph = prepared.at_scale(scale)
        graph.apply(disable_observer)
        _equalise(graph, images[scale])
        graph.apply(enable_observer)  # of the weights alone: ranges of activations are found here
        for activation in _activations(graph).values():
            activation.disable_observer()
        _set_ranges(graph, images[scale])
        graph.apply(disable_observer)
        graph.apply(enable_fake_quant)
        before_rounding(scale, graph)
        graph.apply(disable_fake_quant)
        round_weights(graph, images[scale])
        round_biases(graph)
        graph.apply(enable_fake_quant)


def _equalise(graph: fx.GraphModule, images: Sequence[np.ndarray]) -> None:
    """Multiply channels by factors, and what reads them by their inverses: the float net stays the same.

    Each channel goes half of the way, as a factor, to the mean of all that share its scale; all of it would pass on the
    unlikeness to the weights that read them. The largest values are those of all images: a channel that the first few
    leave asleep would be multiplied, and overrun the range of all on the next. (Nagel et al., ICCV 2019, arXiv
    1906.04721, from the ranges of activations alone, as every output channel of a convolution has a scale of its own.)
    """
    channels: dict[fx.Node, int] = {}
    largest: dict[fx.Node, Tensor] = {}

    def see(node: fx.Node, result: Any) -> None:
        if isinstance(result, Tensor) and result.ndim == 4:
            channels[node] = result.shape[1]
            if node.target is aten.conv2d.default or node.target in RELUS:
                now = result.abs().amax((0, 2, 3))
                largest[node] = torch.maximum(now, largest.get(node, now))

    run(graph, images, see)
    makers = {node: _readers(node, channels) for node in largest if node.target is aten.conv2d.default}
    free = _free(graph, makers)
    for group in _sharing_a_scale(graph, free):
        ranges = [largest[next(iter(maker.users)) if rectified(maker) else maker] for maker in group]
        alive = torch.cat(ranges)
        alive = alive[alive > 0]
        if len(alive):
            middle = alive.log().mean().exp()
            for maker, its in zip(group, ranges, strict=True):
                factors = torch.where(its > 0, (middle / its).sqrt(), 1.0)
                _multiply(graph, maker, free[maker], factors.clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR))


Readers = list[tuple[fx.Node, int]] | None  # convolutions, and their first input channel that is read; None: others too


def _readers(node: Any, channels: dict[fx.Node, int], first: int = 0) -> Readers:
    found: list[tuple[fx.Node, int]] = []
    for user in node.users:
        if user.target is aten.conv2d.default:
            found.append((user, first))
            continue
        starts = [first]
        if user.target is aten.cat.default:
            parts: Any = user.args[0]
            before = np.cumsum([0, *(channels[part] for part in parts)])
            starts = [first + int(start) for part, start in zip(parts, before, strict=False) if part is node]
        elif user.op != "call_module" and user.target not in RELUS:
            return None
        for start in starts:
            more = _readers(user, channels, start)
            if more is None:
                return None
            found += more
    return found


def _free(graph: fx.GraphModule, makers: dict[fx.Node, Readers]) -> dict[fx.Node, list[tuple[fx.Node, int]]]:
    """The convolutions whose weights, and those of all that read them, are trained and of no other convolution."""
    trained = {name for name, _ in graph.named_parameters()}

    def own(node: Any) -> bool:
        conv = Conv2dArguments(*node.args)
        weight = conv.source()
        alone = all(len(part.users) == 1 for part in (weight, conv.weight, conv.bias) if part is not None)
        return alone and weight.target in trained

    return {
        maker: readers
        for maker, readers in makers.items()
        if readers and own(maker) and all(own(reader) for reader, _ in readers)
    }


def _sharing_a_scale(graph: fx.GraphModule, makers: Mapping[fx.Node, Any]) -> list[list[fx.Node]]:
    """``makers`` in groups: those that are concatenated, directly or by way of others, share one scale."""
    groups = {maker: [maker] for maker in makers}
    for node in graph.graph.nodes:
        if node.target is aten.cat.default:
            together = [groups[source] for part in node.args[0] for source in _sources(part) if source in groups]
            merged = list(dict.fromkeys(maker for group in together for maker in group))
            groups |= dict.fromkeys(merged, merged)
    return list({id(group): group for group in groups.values()}.values())


def _sources(node: Any) -> list[fx.Node]:
    """The nodes whose values ``node`` gives: through fake quantisations, ReLUs and concatenations."""
    if node.target is aten.cat.default:
        return [source for part in node.args[0] for source in _sources(part)]
    if node.op == "call_module" or node.target in RELUS:
        return _sources(node.args[0])
    return [node]


def _multiply(graph: fx.GraphModule, maker: Any, readers: list[tuple[Any, int]], factors: Tensor) -> None:
    conv = Conv2dArguments(*maker.args)
    constant(graph, conv.source()).data *= factors[:, None, None, None]
    if conv.bias is not None:
        constant(graph, conv.bias).data *= factors
    for reader, first in readers:
        conv = Conv2dArguments(*reader.args)
        weight = constant(graph, conv.source()).data
        inverse = torch.ones(weight.shape[1] * conv.groups)
        inverse[first : first + len(factors)] = 1 / factors
        weight *= _by_output(inverse, weight, conv.groups)[:, :, None, None]


def _by_output(values: Tensor, weight: Tensor, groups: int) -> Tensor:
    """O×I/groups of a value per input channel: those that each output channel reads."""
    return values.view(groups, -1).repeat_interleave(len(weight) // groups, dim=0)


def _set_ranges(graph: fx.GraphModule, images: Sequence[np.ndarray]) -> None:
    """Set the range of every activation."""
    activations = _activations(graph)
    values: dict[Any, list[Tensor]] = defaultdict(list)  # by module: of a group that shares its scale there is one
    random = torch.Generator().manual_seed(0)

    def see(node: Any, result: Any) -> None:
        if node.op == "call_module" and node.target in activations:
            values[activations[node.target]].append(_some(result, random))

    run(graph, images, see)
    for module, its in values.items():
        low, high = least_error_range(torch.cat(its))
        observer = module.activation_post_process
        observer.min_val.fill_(low)
        observer.max_val.fill_(high)
        scale, zero_point = observer.calculate_qparams()
        module.scale.copy_(scale)
        module.zero_point.copy_(zero_point)


def _some(values: Tensor, random: torch.Generator) -> Tensor:
    """At most ``SAMPLES`` of the values, and their extremes."""
    channels_last = values.is_contiguous(memory_format=torch.channels_last)
    flat = (values.permute(0, 2, 3, 1) if channels_last else values).flatten()  # as they lie in memory: no copy
    if len(flat) <= SAMPLES:
        return flat.clone()
    return torch.cat([flat[torch.randint(len(flat), (SAMPLES,), generator=random)], torch.stack(flat.aminmax())])


def _activations(graph: fx.GraphModule) -> dict[str, Any]:
    """The fake quantisations whose range is learnt from activations, under each of their names."""
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver

    return {
        name: module
        for name, module in graph.named_modules(remove_duplicate=False)
        if isinstance(module, FakeQuantize) and type(module.activation_post_process) is MovingAverageMinMaxObserver
    }
