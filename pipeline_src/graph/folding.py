"""A net as a graph of the few operators that the quantizer and the exporters know, with all folded that can be."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from pipeline_src.models import Description
from pipeline_src.models.batch_norm import fold_batch_norm

aten = torch.ops.aten

RELUS = (aten.relu.default, aten.relu_.default)
SUMS = (aten.add.Tensor, aten.add_.Tensor)
RESIZES: dict[Any, Literal["nearest", "bilinear"]] = {
    aten.upsample_nearest2d.vec: "nearest",
    aten.upsample_bilinear2d.vec: "bilinear",
}
STEP = "pixel_step"  # in a node's meta: it gives an image's pixels, exactly, in this step between two of their values


class Conv2dArguments(NamedTuple):
    """The arguments of an ``aten.conv2d`` node."""

    x: Any
    weight: Any
    bias: Any = None
    stride: Any = (1, 1)
    padding: Any = (0, 0)
    dilation: Any = (1, 1)
    groups: int = 1

    def source(self) -> Any:
        """The ``get_attr`` node of its weights: through their fake quantisation, where they have one."""
        return self.weight.args[0] if self.weight.op == "call_module" else self.weight


def layer_of(node: Any) -> str:
    """What a layer is called: a convolution by its weights (used several times, it is one layer), others by node."""
    weights = Conv2dArguments(*node.args).source() if node.target is aten.conv2d.default else None
    return str(weights.target).removesuffix(".weight") if weights else str(node.name)


def rectified(node: Any) -> bool:
    """Whether a ReLU is all that takes what a node gives."""
    return len(node.users) == 1 and next(iter(node.users)).target in RELUS


class GraphNet(nn.Module):
    """A net as one graph per scale, each with weights of its own; train and eval mode are the same to it."""

    def __init__(self, description: Description, graphs: Mapping[int, fx.GraphModule]) -> None:
        super().__init__()
        self.description = description
        for scale, graph in graphs.items():
            # Anew, because exported graphs refuse train() and eval(), which batch norm and dropout would not follow.
            anew = fx.GraphModule(graph, graph.graph)
            anew.meta.update(graph.meta)
            self.add_module(f"x{scale}", anew)

    def at_scale(self, scale: int) -> fx.GraphModule:
        """The graph of one scale, float NCHW in 0..255 on both sides, of any batch, height and width."""
        graph = self.get_submodule(f"x{scale}")
        assert isinstance(graph, fx.GraphModule)
        return graph


def fold(net: Any) -> GraphNet:
    """A net (its ``description`` and ``at_scale``) in eval mode as graphs; the weights are copies.

    They give the same images but for the rounding of float32, and none of their operators holds a size. Batch norm is
    folded. So are constant factors, but for that from 0..1 to 0..255 at the end: there a weight that is trained on
    would lose its scale, and an exported file pays nothing for a factor.
    """
    return GraphNet(net.description, {scale: _graph_of(net.at_scale(scale)) for scale in net.description.scales})


def _graph_of(net: nn.Module) -> fx.GraphModule:
    folded: Any = copy.deepcopy(fold_batch_norm(net)).cpu().eval()
    graph: Any = torch.export.export(folded, (torch.zeros(1, 3, 24, 32),)).module(check_guards=False)
    _at_each_node(graph, _fold_factor, _rectify_parts, _add_shift_before_factor, _shift_by_a_channel)
    _finish(graph)
    return graph


def fit_for_int8(graph: fx.GraphModule) -> None:
    """Change a graph of :func:`fold` to what is the better int8 net: the same images, not yet clamped to 0..255.

    Batch norm goes before concatenations. Quantising the output to 0..255 saturates as the clamp did. Weights that are
    used several times get a bias for each use, because the steps in which int8 runtimes add it depend on the input.
    """
    _at_each_node(graph, _remove_clamp, _normalise_parts, _rectify_parts)
    _separate_biases(graph)
    _finish(graph)


def _at_each_node(graph: fx.GraphModule, *changes: Callable[[fx.GraphModule, Any], None]) -> None:
    for change in changes:
        for node in list(graph.graph.nodes):
            change(graph, node)


def _finish(graph: fx.GraphModule) -> None:
    """Remove what nothing uses any more, and note the shape of every node."""
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    # PT2E skips nodes that it does not know to be tensors.
    FakeTensorProp(graph, FakeTensorMode(allow_non_fake_inputs=True)).propagate(torch.zeros(1, 3, 24, 32))


def _remove_clamp(graph: fx.GraphModule, node: Any) -> None:
    if node.target is aten.clamp.default and node.args[1:] == (0, 255):
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)


def constant(graph: fx.GraphModule, node: Any) -> Tensor:
    """The parameter or buffer that a ``get_attr`` node reads."""
    value: Any = graph
    for part in node.target.split("."):
        value = getattr(value, part)
    tensor: Tensor = value
    return tensor


def _fold_factor(graph: fx.GraphModule, node: Any) -> None:
    """A factor behind a convolution goes into its weights (EDSR's residual scale)."""
    conv: Any = node.args[0] if node.target is aten.mul.Tensor else None
    if not _is_convolution(conv) or not isinstance(node.args[1], float | int) or not _alone(conv):
        return
    for part in conv.args[1:3]:
        if part is not None:
            constant(graph, part).data *= node.args[1]
    node.replace_all_uses_with(conv)
    graph.graph.erase_node(node)


def _separate_biases(graph: fx.GraphModule) -> None:
    """Copy a bias that an earlier convolution has too."""
    seen: set[str] = set()
    for node in list(_convolutions(graph)):
        conv = Conv2dArguments(*node.args)
        if conv.bias is None:
            continue
        if conv.bias.target in seen:
            with graph.graph.inserting_before(node):
                bias = _parameter(graph, f"{node.name}_own_bias", constant(graph, conv.bias).detach().clone())
            node.args = tuple(conv._replace(bias=bias))
        seen.add(conv.bias.target)


def _convolutions(graph: fx.GraphModule) -> Iterator[Any]:
    return (node for node in graph.graph.nodes if _is_convolution(node))


def _normalise_parts(graph: fx.GraphModule, node: Any) -> None:
    """A batch norm behind a concatenation goes before it, to each of the parts.

    The parts of a dense block differ in range by up to fifty times, which its batch norms make good. Int8 has one scale
    for all of a concatenation: the small parts would vanish in it (36 dB to the float net). Normalised they are alike.
    """
    conv = Conv2dArguments(*node.args) if _is_convolution(node) else None
    if conv is None or conv.bias is None or conv.x.target is not aten.cat.default:
        return
    weight, bias = (constant(graph, part).detach() for part in (conv.weight, conv.bias))
    if weight.shape != (conv.groups, 1, 1, 1):
        return
    parts = list(_parts(conv.x))
    channels = [part.meta["val"].shape[1] for part in parts]
    normalised = []
    with graph.graph.inserting_before(node):
        for i, (part, *its) in enumerate(zip(parts, weight.split(channels), bias.split(channels), strict=True)):
            names = [f"{node.name}_{kind}_{i}" for kind in ("weight", "bias")]
            own = [_parameter(graph, name, value.clone()) for name, value in zip(names, its, strict=True)]
            arguments = conv._replace(x=part, weight=own[0], bias=own[1], groups=channels[i])
            normalised.append(graph.graph.call_function(aten.conv2d.default, tuple(arguments)))
        together = graph.graph.call_function(aten.cat.default, (normalised, 1))
    node.replace_all_uses_with(together)
    graph.graph.erase_node(node)


def _parts(node: Any) -> Iterator[Any]:
    """What is concatenated, also of concatenations of concatenations."""
    if node.target is aten.cat.default:
        for part in node.args[0]:
            yield from _parts(part)
    else:
        yield node


def _rectify_parts(graph: fx.GraphModule, node: Any) -> None:
    """A ReLU behind a concatenation goes before it, into the convolutions that made the parts."""
    cat = node.args[0] if node.target in RELUS else None
    if cat is None or cat.target is not aten.cat.default or len(cat.users) > 1:
        return
    with graph.graph.inserting_before(cat):
        rectified = {part: graph.graph.call_function(aten.relu.default, (part,)) for part in cat.args[0]}
    cat.args = ([rectified[part] for part in cat.args[0]], *cat.args[1:])
    node.replace_all_uses_with(cat)
    graph.graph.erase_node(node)


def _add_shift_before_factor(graph: fx.GraphModule, node: Any) -> None:
    """The convolution that ends in 0..255, factor · x + shift, becomes a factor; its shift joins the bias before it."""
    scaling = _scaling(graph, node)
    if not scaling or not _is_convolution(node.args[0]) or not _alone(node.args[0]):
        return
    factor, shift = scaling
    conv = node.args[0]
    before = Conv2dArguments(*conv.args)
    with graph.graph.inserting_before(conv):
        bias = shift / factor if before.bias is None else constant(graph, before.bias).data + shift / factor
        conv.args = tuple(before._replace(bias=_parameter(graph, f"{conv.name}_bias", bias)))
    with graph.graph.inserting_after(node):
        product = graph.graph.call_function(aten.mul.Tensor, (conv, factor))
    node.replace_all_uses_with(product)
    graph.graph.erase_node(node)


def _shift_by_a_channel(graph: fx.GraphModule, node: Any) -> None:
    """The mean that is subtracted from the image goes into the next convolution, by way of a channel that is 1.

    In 8 bits an image less its mean falls between the levels; with the mean left in, its pixels are exact. A bias could
    not carry it: the convolution pads with zeros, which stand for the mean, and so the channel must be padded too.
    """
    scaling = _scaling(graph, node)
    user: Any = next(iter(node.users)) if len(node.users) == 1 else None
    if not scaling or node.args[0].op != "placeholder" or not _is_convolution(user):
        return
    factor, shift = scaling
    behind = Conv2dArguments(*user.args)
    if behind.x is not node or behind.groups != 1 or len(behind.weight.users) > 1:
        return
    weight = constant(graph, behind.weight).data
    with graph.graph.inserting_before(node):
        pixels = torch.cat([factor * torch.eye(3), torch.zeros(1, 3)])[:, :, None, None]
        first = _buffer(graph, "pixels_weight", pixels), _buffer(graph, "pixels_bias", torch.eye(4)[3])
        node.args = tuple(Conv2dArguments(node.args[0], *first))
    with graph.graph.inserting_before(user):
        channel = (weight * shift[:, None, None]).sum(dim=1, keepdim=True)
        widened = _parameter(graph, f"{user.name}_weight", torch.cat([weight, channel], dim=1))
        user.args = tuple(behind._replace(weight=widened))
    node.meta[STEP] = factor


def _scaling(graph: fx.GraphModule, node: Any) -> tuple[float, Tensor] | None:
    """(factor, shift) of a convolution that is frozen and does nothing but factor · x + shift."""
    if not _is_convolution(node):
        return None
    conv = Conv2dArguments(*node.args)
    weight = constant(graph, conv.weight)
    channels = weight.shape[0]
    factor = weight.flatten()[0].item()
    same = weight.shape == (channels, channels, 1, 1) and torch.equal(weight[..., 0, 0], factor * torch.eye(channels))
    if not same or weight.requires_grad or conv.bias is None:
        return None
    return factor, constant(graph, conv.bias).data


def _is_convolution(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.target is aten.conv2d.default


def _alone(conv: Any) -> bool:
    """Only one operator takes what the convolution gives, and its weights are of no other convolution."""
    return all(len(node.users) == 1 for node in (conv, *conv.args[1:3]) if node is not None)


def _parameter(graph: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    graph.register_parameter(name, nn.Parameter(value))
    return graph.graph.get_attr(name)


def _buffer(graph: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    graph.register_buffer(name, value, persistent=False)
    return graph.graph.get_attr(name)
