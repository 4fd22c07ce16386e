"""The quantizer of PyTorch's PT2E flow for super-resolution nets: it annotates where a graph is quantised, and how.

Int8 follows TFLite's specification. Activations are asymmetric, per tensor. Weights are symmetric, per output channel.
Operators that only move values keep the parameters of their input. An activation keeps the parameters of its producer,
so no runtime has to rescale between two operators. Weights are rounded so that no sum of two products saturates on a
CPU without VNNI (:mod:`saturation`): the same file then gives the same image on every CPU.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from pipeline_src.compression.quantization.ranges import smallest_step, sum_keeping_step
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import (
    MOVES,
    RELUS,
    STEP,
    SUMS,
    Conv2dArguments,
    is_input_image,
    layer_of,
    rectified,
)
from pipeline_src.graph.saturation import LARGEST_WEIGHT, fits

aten = torch.ops.aten

KEEP_RANGE = (*MOVES, aten.upsample_bilinear2d.vec)  # the output has the range of the input

# The smallest scale of an activation or a weight channel. torchao's default, the float32 epsilon, is too close to the
# scales of a net whose input is 0..255. This one is so small that only a channel of zeros gets it.
EPS = 2.0**-24


def pixels(step: float = 1.0) -> FixedQParamsQuantizationSpec:
    """Return the parameters of an 8-bit image, whose values are 0..255 times ``step``, quantised as these less 128.

    The image enters the net without error. The output of a net saturates to 0..255 and is rounded once.
    """
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8, scale=step, zero_point=-128, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine
    )


# FakeQuantize and not its fused variant, whose rounding differs from the converted net by up to 5 levels on a quarter
# of the pixels.
ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, eps=EPS),
)


class _WeightObserver(MovingAveragePerChannelMinMaxObserver):
    """Sets a step for each output channel, as the range ±127 steps from which torchao derives it."""

    def _set_steps(self, steps: Tensor) -> None:
        for bound, value in ((self.min_val, -LARGEST_WEIGHT * steps), (self.max_val, LARGEST_WEIGHT * steps)):
            bound.resize_(value.shape)
            bound.copy_(value)


class TrainedWeightObserver(_WeightObserver):
    """Sets the smallest step in which no pair of weights saturates, and later enlarges it where weights have grown.

    It never reduces a step, which would undo the rounding that calibration has chosen.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Set the steps, and return the weights."""
        weights = weight.detach()
        steps = smallest_step(weights)
        if self.max_val.numel():
            before = self.max_val / LARGEST_WEIGHT
            rounded = (weights.flatten(1) * (1 / before.clamp(min=EPS))[:, None]).round()  # like torch
            steps = torch.where(fits(rounded), before, steps)
        self._set_steps(steps)
        return weight


class FixedWeightObserver(_WeightObserver):
    """Sets the step in which the weights keep their sum, for weights that are never trained."""

    def forward(self, weight: Tensor) -> Tensor:
        """Set the steps at the first call, and return the weights."""
        if not self.max_val.numel():
            steps = [sum_keeping_step(channel.flatten().double().numpy()) for channel in weight.detach().cpu()]
            self._set_steps(torch.tensor(steps, device=weight.device))
        return weight


def _weights(observer: Any) -> QuantizationSpec:
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-LARGEST_WEIGHT,
        quant_max=LARGEST_WEIGHT,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=observer, eps=EPS),
    )


TRAINED_WEIGHT = _weights(TrainedWeightObserver)
FIXED_WEIGHT = _weights(FixedWeightObserver)


class SuperResolutionQuantizer(Quantizer):
    """Annotates the operators of a graph from :func:`folding.fit_for_int8`.

    Args:
        float_layers: Layers that compute in float, by the names of :func:`folding.layer_of`. Their output is int8
            unless only float layers read it.
    """

    def __init__(self, float_layers: Collection[str] = ()) -> None:
        super().__init__()
        self.float_layers = {*float_layers}

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate every operator of a graph, in place.

        Raises:
            UserError: If the graph has an operator that is not known.
        """
        images = _images(model)
        trained = {name for name, _ in model.named_parameters()}
        in_float = self._in_float(model)
        node: Any
        for node in model.graph.nodes:
            if node.op != "call_function" or "quantization_annotation" in node.meta:
                continue
            if node in in_float:
                stays_float = in_float >= {*node.users} or rectified(node)
                inputs = {x: _as_produced(x) for x in node.all_input_nodes if x.op == "placeholder"}
                _annotate(node, inputs, None if stays_float else images.get(node, ACTIVATION))
            elif node.target is aten.conv2d.default:
                conv = Conv2dArguments(*node.args)
                weight = TRAINED_WEIGHT if conv.weight.target in trained else FIXED_WEIGHT
                _annotate_with_relu(node, {conv.x: _as_produced(conv.x), conv.weight: weight}, images)
            else:
                _annotate_operator(node, images)
        return model

    def _in_float(self, model: fx.GraphModule) -> set[fx.Node]:
        """Return the operators of the layers that stay in float, with their ReLUs."""
        layers = {n for n in model.graph.nodes if n.op == "call_function" and layer_of(n) in self.float_layers}
        return layers | {next(iter(node.users)) for node in layers if rectified(node)}

    def validate(self, model: fx.GraphModule) -> None:
        """Do nothing: ``annotate`` refuses operators that are not known."""


def _annotate_operator(node: Any, images: dict[fx.Node, Any]) -> None:
    """Annotate an operator without weights."""
    if node.target in SUMS and all(isinstance(term, fx.Node) for term in node.args[:2]):
        _annotate_with_relu(node, {term: _as_produced(term) for term in node.args[:2]}, images)
    elif node.target in RELUS:
        _annotate(node, {node.args[0]: _as_produced(node.args[0])}, images.get(node, ACTIVATION))
    elif node.target is aten.cat.default:
        _annotate_concatenation(node)
    elif node.target in KEEP_RANGE:
        _annotate(node, {node.args[0]: _as_produced(node.args[0])}, _as_produced(node.args[0]))
    elif node in images and node.target is aten.mul.Tensor:  # the factor at the end
        _annotate(node, {node.args[0]: _as_produced(node.args[0])}, images[node])
    else:
        raise UserError(f"the quantizer does not know the operator {node.target}; choose a net without it")


def _images(model: fx.GraphModule) -> dict[fx.Node, FixedQParamsQuantizationSpec]:
    """Return the nodes whose result has the known parameters of an image.

    Those are images, and features that are concatenated with the input image, whose range calibration gives them.
    """
    images = {node: pixels(node.meta[STEP]) for node in model.graph.nodes if STEP in node.meta}
    for node in model.graph.nodes:
        if node.target is aten.cat.default and any(is_input_image(part) for part in node.args[0]):
            images |= {part: pixels() for part in node.args[0] if not is_input_image(part)}
    last: Any = model.graph.output_node().args[0]
    (last,) = last
    while last.target in MOVES:
        last = last.args[0]
    images[last] = pixels()
    if last.target is aten.mul.Tensor and isinstance(last.args[1], float):
        images[last.args[0]] = pixels(1 / last.args[1])
    return images


def _annotate(node: fx.Node, inputs: dict[fx.Node, Any], output: Any) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(inputs, output, _annotated=True)


def _annotate_with_relu(node: fx.Node, inputs: dict[fx.Node, Any], images: dict[fx.Node, Any]) -> None:
    """Annotate a convolution or a sum together with its ReLU, whose output alone is quantised."""
    if rectified(node):
        user = next(iter(node.users))
        _annotate(node, inputs, None)
        _annotate(user, {}, images.get(user, ACTIVATION))
    else:
        _annotate(node, inputs, images.get(node, ACTIVATION))


def _annotate_concatenation(node: Any) -> None:
    parts = list(dict.fromkeys(node.args[0]))  # ABPN's anchor repeats its input, and a spec must not share with itself
    shared = SharedQuantizationSpec((parts[0], node))
    _annotate(node, {parts[0]: _as_produced(parts[0])} | dict.fromkeys(parts[1:], shared), shared)


def _as_produced(producer: fx.Node) -> Any:
    """Return the parameters that the producer of an activation gave it."""
    return pixels() if producer.op == "placeholder" else SharedQuantizationSpec(producer)
