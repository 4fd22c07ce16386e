"""Folding: a net as a graph of the few operators that the quantizer and the exporters know."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from pipeline_src.models import Description
from pipeline_src.models.layers.batch_norm import fold_batch_norm

aten = torch.ops.aten
own = torch.ops.super_resolution

RELUS = (aten.relu.default, aten.relu_.default)
SUMS = (aten.add.Tensor, aten.add_.Tensor)
RESIZES: dict[Any, Literal["nearest", "bilinear"]] = {
    aten.upsample_nearest2d.vec: "nearest",
    aten.upsample_bilinear2d.vec: "bilinear",
}
EXAMPLE = (1, 3, 24, 36)  # of the image with which graphs are traced; a downscaler by 2, 3 or 4 takes it too
MOVES = (  # operators that only move values
    own.depth_to_space.default,
    own.space_to_depth.default,
    own.mirror_pad.default,
    aten.upsample_nearest2d.vec,
)
STEP = "pixel_step"  # key of a node's meta: its result is an image, in this step between two values of a pixel


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
        """Return the ``get_attr`` node of the weights, behind their fake quantisation if they have one."""
        return self.weight.args[0] if self.weight.op == "call_module" else self.weight


def layer_of(node: Any) -> str:
    """Return the name of a node's layer: that of its weights if it is a convolution, else that of the node.

    Convolutions that share their weights are one layer.
    """
    weights = Conv2dArguments(*node.args).source() if node.target is aten.conv2d.default else None
    return str(weights.target).removesuffix(".weight") if weights else str(node.name)


def is_input_image(node: Any) -> bool:
    """Return whether a node is the input image, or only its values in another order, with fake quantisation or not."""
    while node.target in MOVES or (node.op == "call_module" and node.args[0].op != "get_attr"):
        node = node.args[0]
    return bool(node.op == "placeholder")


def rectified(node: Any) -> bool:
    """Return whether a ReLU is the only reader of a node."""
    return len(node.users) == 1 and next(iter(node.users)).target in RELUS


class GraphNet(nn.Module):
    """A net as one graph per scale, each with weights of its own; train and eval mode make no difference.

    Args:
        description: The description of the net.
        graphs: A graph for each of its scales.
    """

    def __init__(self, description: Description, graphs: Mapping[int, fx.GraphModule]) -> None:
        super().__init__()
        self.description = description
        for scale, graph in graphs.items():
            # A new module, because exported ones refuse train() and eval(), to protect batch norm and dropout.
            module = fx.GraphModule(graph, graph.graph)
            module.meta.update(graph.meta)
            self.add_module(f"x{scale}", module)

    def at_scale(self, scale: int) -> fx.GraphModule:
        """Return the graph of one scale: float32 N×3×H×W in 0..255 to N×3×sH×sW in 0..255, of any N, H and W.

        That of a downscaler gives N×3×(H/s)×(W/s), of H and W that are multiples of s.
        """
        graph = self.get_submodule(f"x{scale}")
        assert isinstance(graph, fx.GraphModule)
        return graph


def fold(net: Any) -> GraphNet:
    """Return a net as graphs, in eval mode and with copies of its weights.

    The images are the same but for the rounding of float32, and no operator contains a size. Batch norm is folded, and
    so are constant factors, except that from 0..1 to 0..255 at the end: folded into weights, it would change their
    scale for training, and in an exported file a factor costs nothing.

    Args:
        net: A net with ``description`` and ``at_scale``, as those of ``pipeline_src.models``.
    """
    return GraphNet(net.description, {scale: _graph_of(net.at_scale(scale)) for scale in net.description.scales})


def _graph_of(net: nn.Module) -> fx.GraphModule:
    folded: Any = copy.deepcopy(fold_batch_norm(net)).cpu().eval()
    graph: fx.GraphModule = torch.export.export(folded, (torch.zeros(EXAMPLE),)).module(check_guards=False)
    _at_each_node(graph, _fold_factor, _rectify_parts, _add_shift_before_factor, _shift_by_a_channel)
    _finish(graph)
    return graph


def fit_for_int8(graph: fx.GraphModule) -> None:
    """Change a graph of :func:`fold`, in place, so that it becomes a better int8 net.

    The images are the same, but not clamped to 0..255, because their quantisation saturates in the same way. Batch norm
    moves before concatenations. Weights that are used several times get a bias for each use, because the steps in which
    int8 runtimes add a bias depend on the input.
    """
    _at_each_node(graph, _remove_clamp, _normalise_parts, _rectify_parts)
    _separate_biases(graph)
    _finish(graph)


def _at_each_node(graph: fx.GraphModule, *changes: Callable[[fx.GraphModule, Any], None]) -> None:
    for change in changes:
        for node in list(graph.graph.nodes):
            change(graph, node)


def _finish(graph: fx.GraphModule) -> None:
    """Remove unused nodes and modules, and record the shape of every node."""
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    # PT2E skips nodes whose metadata has no tensor.
    FakeTensorProp(graph, FakeTensorMode(allow_non_fake_inputs=True)).propagate(torch.zeros(EXAMPLE))


def _remove_clamp(graph: fx.GraphModule, node: Any) -> None:
    if node.target is aten.clamp.default and node.args[1:] == (0, 255):
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)


def constant(graph: fx.GraphModule, node: Any) -> Tensor:
    """Return the parameter or buffer that a ``get_attr`` node reads."""
    value: Any = graph
    for part in node.target.split("."):
        value = getattr(value, part)
    tensor: Tensor = value
    return tensor


def _fold_factor(graph: fx.GraphModule, node: Any) -> None:
    """Fold a factor into the weights of the convolution before it (EDSR's residual scale)."""
    conv: Any = node.args[0] if node.target is aten.mul.Tensor else None
    if not _is_convolution(conv) or not isinstance(node.args[1], float | int) or not _is_exclusive(conv):
        return
    for part in conv.args[1:3]:
        if part is not None:
            constant(graph, part).data *= node.args[1]
    node.replace_all_uses_with(conv)
    graph.graph.erase_node(node)


def _separate_biases(graph: fx.GraphModule) -> None:
    """Copy each bias that an earlier convolution uses too."""
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
    """Move a batch norm behind a concatenation before it, to each of the parts.

    The ranges of a dense block's parts differ by a factor of up to fifty, which batch norm evens out. In int8 a
    concatenation has one scale, in which the small parts would vanish (36 dB to the float net).
    """
    conv = Conv2dArguments(*node.args) if _is_convolution(node) else None
    if conv is None or conv.bias is None or conv.x.target is not aten.cat.default:
        return
    weight, bias = (constant(graph, part).detach() for part in (conv.weight, conv.bias))
    if weight.shape != (conv.groups, 1, 1, 1):
        return
    normalised = []
    start = 0
    with graph.graph.inserting_before(node):
        for i, part in enumerate(_parts(conv.x)):
            end = start + part.meta["val"].shape[1]
            arguments = conv._replace(
                x=part,
                weight=_parameter(graph, f"{node.name}_weight_{i}", weight[start:end].clone()),
                bias=_parameter(graph, f"{node.name}_bias_{i}", bias[start:end].clone()),
                groups=end - start,
            )
            normalised.append(graph.graph.call_function(aten.conv2d.default, tuple(arguments)))
            start = end
        concatenation = graph.graph.call_function(aten.cat.default, (normalised, 1))
    node.replace_all_uses_with(concatenation)
    graph.graph.erase_node(node)


def _parts(node: Any) -> Iterator[Any]:
    """Yield the parts of a concatenation, and those of concatenations among them."""
    if node.target is aten.cat.default:
        for part in node.args[0]:
            yield from _parts(part)
    else:
        yield node


def _rectify_parts(graph: fx.GraphModule, node: Any) -> None:
    """Move a ReLU behind a concatenation before it, to each of the parts."""
    cat = node.args[0] if node.target in RELUS else None
    if cat is None or cat.target is not aten.cat.default or len(cat.users) > 1:
        return
    with graph.graph.inserting_before(cat):
        relus = {part: graph.graph.call_function(aten.relu.default, (part,)) for part in cat.args[0]}
    cat.args = ([relus[part] for part in cat.args[0]], *cat.args[1:])
    node.replace_all_uses_with(cat)
    graph.graph.erase_node(node)


def _add_shift_before_factor(graph: fx.GraphModule, node: Any) -> None:
    """Replace the last convolution, factor · x + shift, by a factor, and add its shift to the bias before it."""
    scaling = _scaling(graph, node)
    if not scaling or not _is_convolution(node.args[0]) or not _is_exclusive(node.args[0]):
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
    """Fold the subtraction of the mean colour into the next convolution, through a fourth channel that is always 1.

    In 8 bits the pixels of an image are exact, but an image less its mean falls between the levels. A bias cannot do
    this: the convolution pads with zeros, which stand for the mean, and so the fourth channel must be padded too.
    """
    scaling = _scaling(graph, node)
    user: Any = next(iter(node.users)) if len(node.users) == 1 else None
    if not scaling or node.args[0].op != "placeholder" or not _is_convolution(user):
        return
    factor, shift = scaling
    following = Conv2dArguments(*user.args)
    if following.x is not node or following.groups != 1 or len(following.weight.users) > 1:
        return
    weight = constant(graph, following.weight).data
    with graph.graph.inserting_before(node):
        pixels = torch.cat([factor * torch.eye(3), torch.zeros(1, 3)])[:, :, None, None]
        constants = _buffer(graph, "pixels_weight", pixels), _buffer(graph, "pixels_bias", torch.eye(4)[3])
        node.args = tuple(Conv2dArguments(node.args[0], *constants))
    with graph.graph.inserting_before(user):
        channel = (weight * shift[:, None, None]).sum(dim=1, keepdim=True)
        widened = _parameter(graph, f"{user.name}_weight", torch.cat([weight, channel], dim=1))
        user.args = tuple(following._replace(weight=widened))
    node.meta[STEP] = factor


def _scaling(graph: fx.GraphModule, node: Any) -> tuple[float, Tensor] | None:
    """Return (factor, shift) of a convolution that computes factor · x + shift and is not trained; else None."""
    if not _is_convolution(node):
        return None
    conv = Conv2dArguments(*node.args)
    weight = constant(graph, conv.weight)
    channels = weight.shape[0]
    factor = weight.flatten()[0].item()
    is_scaling = weight.shape == (channels, channels, 1, 1) and torch.equal(
        weight[..., 0, 0], factor * torch.eye(channels)
    )
    if not is_scaling or weight.requires_grad or conv.bias is None:
        return None
    return factor, constant(graph, conv.bias).data


def _is_convolution(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.target is aten.conv2d.default


def _is_exclusive(conv: Any) -> bool:
    """Return whether a convolution has only one reader and shares its weights and bias with no other."""
    return all(len(node.users) == 1 for node in (conv, *conv.args[1:3]) if node is not None)


def _parameter(graph: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    graph.register_parameter(name, nn.Parameter(value))
    return graph.graph.get_attr(name)


def _buffer(graph: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    graph.register_buffer(name, value, persistent=False)
    return graph.graph.get_attr(name)
