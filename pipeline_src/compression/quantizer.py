"""Where an int8 super-resolution net is quantised: the annotator of PyTorch's PT2E flow for these nets' operators.

Int8 as TFLite specifies it: activations per tensor, asymmetric; weights per output channel, symmetric; one set of
parameters through every operator that only moves values. An activation keeps the parameters its producer gave it, so no
runtime has to rescale between two operators.
"""

from typing import Any

import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer
from litert_torch.quantize.pt2e_quantizer_utils import QuantizationConfig
from torch import fx
from torchao.quantization.pt2e.fake_quantize import FakeQuantize
from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv2d.default, aten.convolution.default)
SUMS = (aten.add.Tensor, aten.add_.Tensor)
RELUS = (aten.relu.default, aten.relu_.default)
CONCATENATIONS = (aten.cat.default,)
MOVES = (torch.ops.super_resolution.depth_to_space.default,)  # operators that only move values

# The smallest scale an activation or a weight channel may get. torchao's default, the float32 epsilon, is far from any
# scale of a net that works on 0..255, so a channel of zeros is all it decides.
EPS = 2.0**-24

# An 8-bit image: its values are the quantised values (less 128), so that it enters the net exactly, and what a net
# gives saturates to 0..255 and is rounded once.
PIXELS = FixedQParamsQuantizationSpec(
    dtype=torch.int8, scale=1.0, zero_point=-128, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine
)

# The plain FakeQuantize, not the fused one of litert_torch's own configuration: that one rounds otherwise than the
# converted net does, by up to 5 levels on a quarter of the pixels.
ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, eps=EPS),
)

# averaging_constant=1: the range of a channel is that of its weights now, not a mean over the steps that led there.
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0, eps=EPS
    ),
)


class SuperResolutionQuantizer(PT2EQuantizer):
    """Annotates convolutions, sums, concatenations, ReLU and depth-to-space of a net from an 8-bit image to another."""

    def __init__(self) -> None:
        super().__init__()
        self.set_global(QuantizationConfig(ACTIVATION, ACTIVATION, WEIGHT, None, None, is_qat=True))

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        return model

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        last: Any = model.graph.output_node().args[0]
        (last,) = last
        while last.target in MOVES:
            last = last.args[0]
        node: Any
        for node in model.graph.nodes:
            if node.op != "call_function" or "quantization_annotation" in node.meta:
                continue
            if node.target in CONVOLUTIONS:
                _annotate_with_relu(node, {node.args[0]: _as_produced(node.args[0]), node.args[1]: WEIGHT}, last)
            elif node.target in SUMS:
                _annotate_with_relu(node, {term: _as_produced(term) for term in node.args[:2]}, last)
            elif node.target in RELUS:
                _annotate(node, {node.args[0]: _as_produced(node.args[0])}, _output(node, last))
            elif node.target in CONCATENATIONS:
                _annotate_concatenation(node)
            elif node.target in MOVES:
                _annotate(node, {node.args[0]: _as_produced(node.args[0])}, SharedQuantizationSpec(node.args[0]))
            else:
                raise NotImplementedError(f"the quantizer does not know the operator {node.target}; annotate it here")
        return model


def _annotate(node: fx.Node, inputs: dict[fx.Node, Any], output: Any) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(inputs, output, _annotated=True)


def _annotate_with_relu(node: fx.Node, inputs: dict[fx.Node, Any], last: fx.Node) -> None:
    """A ReLU behind a convolution or a sum is part of it: only what leaves the ReLU is quantised."""
    user = next(iter(node.users))
    if len(node.users) == 1 and user.target in RELUS:
        _annotate(node, inputs, None)
        _annotate(user, {}, _output(user, last))
    else:
        _annotate(node, inputs, _output(node, last))


def _annotate_concatenation(node: Any) -> None:
    parts = list(dict.fromkeys(node.args[0]))  # an anchor repeats its input: a shared spec must not refer to itself
    shared = SharedQuantizationSpec((parts[0], node))
    _annotate(node, {parts[0]: _as_produced(parts[0])} | dict.fromkeys(parts[1:], shared), shared)


def _as_produced(producer: fx.Node) -> Any:
    """The spec of an edge: the parameters its producer gave it."""
    return PIXELS if producer.op == "placeholder" else SharedQuantizationSpec(producer)


def _output(node: fx.Node, last: fx.Node) -> Any:
    return PIXELS if node is last else ACTIVATION
