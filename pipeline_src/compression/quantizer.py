"""Where an int8 super-resolution net is quantised: the annotator of PyTorch's PT2E flow for these nets' operators.

Int8 as TFLite specifies it: activations per tensor, asymmetric; weights per output channel, symmetric; one set of
parameters through every operator that only moves values. An activation keeps the parameters its producer gave it, so no
runtime has to rescale between two operators. Weights are rounded so that no sum of two products saturates on a CPU
without VNNI (:mod:`saturation`): the same file then gives the same image on every CPU.
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

from pipeline_src.compression.ranges import smallest_step, sum_keeping_step
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import RELUS, STEP, SUMS, Conv2dArguments, layer_of, rectified
from pipeline_src.graph.saturation import LARGEST_WEIGHT, fits

aten = torch.ops.aten
own = torch.ops.super_resolution

MOVES = (own.depth_to_space.default, own.mirror_pad.default, aten.upsample_nearest2d.vec)  # only move values
KEEP_RANGE = (*MOVES, aten.upsample_bilinear2d.vec)  # what they give has the range of what they take

# The smallest scale an activation or a weight channel may get. torchao's default, the float32 epsilon, is too close to
# the weights of a net that takes 0..255; so a channel of zeros is all this one decides.
EPS = 2.0**-24


def pixels(step: float = 1.0) -> FixedQParamsQuantizationSpec:
    """An 8-bit image: its values, 0..255 times ``step``, are the quantised values (less 128).

    So it enters the net exactly, and what a net gives saturates to 0..255 and is rounded once.
    """
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8, scale=step, zero_point=-128, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine
    )


# The plain FakeQuantize, not the fused one: that one rounds otherwise than the converted net does, by up to 5 levels on
# a quarter of the pixels.
ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, eps=EPS),
)


class _WeightObserver(MovingAveragePerChannelMinMaxObserver):
    """Sets a step per output channel; the range that torchao derives it from is ±127 steps."""

    def _set_steps(self, steps: Tensor) -> None:
        for bound, value in ((self.min_val, -LARGEST_WEIGHT * steps), (self.max_val, LARGEST_WEIGHT * steps)):
            bound.resize_(value.shape)
            bound.copy_(value)


class TrainedWeightObserver(_WeightObserver):
    """The smallest step in which no pair of weights saturates; later it grows where the weights have grown out of it.

    It never shrinks, which would undo how calibration has chosen to round the weights.
    """

    def forward(self, weight: Tensor) -> Tensor:
        weights = weight.detach()
        steps = smallest_step(weights)
        if self.max_val.numel():
            before = self.max_val / LARGEST_WEIGHT
            rounded = (weights.flatten(1) * (1 / before.clamp(min=EPS))[:, None]).round()  # as torch does it
            steps = torch.where(fits(rounded), before, steps)
        self._set_steps(steps)
        return weight


class GivenWeightObserver(_WeightObserver):
    """The step in which the weights keep their sum, for weights that are never trained."""

    def forward(self, weight: Tensor) -> Tensor:
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
GIVEN_WEIGHT = _weights(GivenWeightObserver)


class SuperResolutionQuantizer(Quantizer):
    """Annotates the operators of a graph of :func:`folding.fold`, without its clamp.

    ``float_layers`` (names of :func:`folding.layer_of`) compute in float. What they give is int8 where anything else
    takes it.
    """

    def __init__(self, float_layers: Collection[str] = ()) -> None:
        super().__init__()
        self.float_layers = {*float_layers}

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        fixed = _images(model)
        trained = {name for name, _ in model.named_parameters()}
        in_float = self._in_float(model)
        node: Any
        for node in model.graph.nodes:
            if node.op != "call_function" or "quantization_annotation" in node.meta:
                continue
            if node in in_float:
                given = in_float >= {*node.users} or rectified(node)
                image = {x: _as_produced(x) for x in node.all_input_nodes if x.op == "placeholder"}
                _annotate(node, image, None if given else fixed.get(node, ACTIVATION))
            elif node.target is aten.conv2d.default:
                conv = Conv2dArguments(*node.args)
                weight = TRAINED_WEIGHT if conv.weight.target in trained else GIVEN_WEIGHT
                _annotate_with_relu(node, {conv.x: _as_produced(conv.x), conv.weight: weight}, fixed)
            elif node.target in SUMS and all(isinstance(term, fx.Node) for term in node.args[:2]):
                _annotate_with_relu(node, {term: _as_produced(term) for term in node.args[:2]}, fixed)
            elif node.target in RELUS:
                _annotate(node, {node.args[0]: _as_produced(node.args[0])}, fixed.get(node, ACTIVATION))
            elif node.target is aten.cat.default:
                _annotate_concatenation(node)
            elif node.target in KEEP_RANGE:
                _annotate(node, {node.args[0]: _as_produced(node.args[0])}, _as_produced(node.args[0]))
            elif node in fixed and node.target is aten.mul.Tensor:  # the factor at the end
                _annotate(node, {node.args[0]: _as_produced(node.args[0])}, fixed[node])
            else:
                raise UserError(f"the quantizer does not know the operator {node.target}; choose a net without it")
        return model

    def _in_float(self, model: fx.GraphModule) -> set[fx.Node]:
        layers = {n for n in model.graph.nodes if n.op == "call_function" and layer_of(n) in self.float_layers}
        return layers | {next(iter(node.users)) for node in layers if rectified(node)}

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing: what is unknown, ``annotate`` refuses."""


def _images(model: fx.GraphModule) -> dict[fx.Node, FixedQParamsQuantizationSpec]:
    """The nodes that give an image, whose parameters are therefore known."""
    images = {node: pixels(node.meta[STEP]) for node in model.graph.nodes if STEP in node.meta}
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


def _annotate_with_relu(node: fx.Node, inputs: dict[fx.Node, Any], fixed: dict[fx.Node, Any]) -> None:
    """A ReLU behind a convolution or a sum is part of it: only what leaves the ReLU is quantised."""
    if rectified(node):
        user = next(iter(node.users))
        _annotate(node, inputs, None)
        _annotate(user, {}, fixed.get(user, ACTIVATION))
    else:
        _annotate(node, inputs, fixed.get(node, ACTIVATION))


def _annotate_concatenation(node: Any) -> None:
    parts = list(dict.fromkeys(node.args[0]))  # an anchor repeats its input: a shared spec must not refer to itself
    shared = SharedQuantizationSpec((parts[0], node))
    _annotate(node, {parts[0]: _as_produced(parts[0])} | dict.fromkeys(parts[1:], shared), shared)


def _as_produced(producer: fx.Node) -> Any:
    """The spec of an edge: the parameters its producer gave it."""
    return pixels() if producer.op == "placeholder" else SharedQuantizationSpec(producer)
