"""Int8 nets through PyTorch's PT2E flow: post-training quantisation (PTQ) and quantisation-aware training (QAT).

A *prepared* net is the float net with fake quantisation at every place the quantizer annotates: it computes what the
int8 net will compute, and it can be trained. Its state (weights, scales, zero points, ranges) is what is kept;
:func:`convert` turns it into the int8 net that the exporters take, which gives the same images to the bit.
"""

import copy
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from torch import fx, nn

from pipeline_src.compression import pruning
from pipeline_src.compression.rounding import round_biases
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import GraphNet, constant, fit_for_int8
from pipeline_src.weights import load_metadata, load_tensors, save_tensors

# At its import torchao says of each of its CUDA kernels that it is not for this machine.
logging.getLogger("torchao").setLevel(logging.ERROR)


def prepare(folded: GraphNet, float_layers: Collection[str] = ()) -> GraphNet:
    """A net of :func:`folding.fold` with fake quantisation, but in ``float_layers``; its weights are copies.

    Its observers are on and its ranges unset: :func:`calibration.calibrate` it next, or :func:`load` its state.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    from pipeline_src.compression.quantizer import SuperResolutionQuantizer

    prepared = {}
    for scale in folded.description.scales:
        graph = copy.deepcopy(folded.at_scale(scale))
        fit_for_int8(graph)
        prepared[scale] = prepare_qat_pt2e(graph, SuperResolutionQuantizer(float_layers))
    return GraphNet(folded.description, prepared)


def begin_qat(prepared: nn.Module, keep_zeros: bool = False) -> None:
    """Let quantisation steps of weights follow the weights, so that no pair can saturate whatever training makes of it.

    The steps of activations stay as calibrated. If they followed the extremes that training meets, what calibration
    found would be undone (CARN-M lost 0.9 dB that way in 60 steps).

    Args:
        prepared: a calibrated net.
        keep_zeros: whether weights that are 0 stay 0, for a net that was pruned weight by weight.
    """
    if keep_zeros:
        pruning.keep_zeros(prepared)
    for fake_quantize in _weight_quantizers(prepared):
        fake_quantize.enable_observer()


def end_qat(prepared: nn.Module) -> None:
    """Fix the quantisation steps of the weights as they are now, and round biases to the resulting steps."""
    for graph in prepared.modules():
        if isinstance(graph, fx.GraphModule):
            for node in graph.graph.nodes:
                if node.op == "call_module" and node.args[0].op == "get_attr":
                    graph.get_submodule(node.target)(constant(graph, node.args[0]))
            round_biases(graph)
    for fake_quantize in _weight_quantizers(prepared):
        fake_quantize.disable_observer()


def _weight_quantizers(prepared: nn.Module) -> Iterator[Any]:
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize

    return (module for module in prepared.modules() if isinstance(module, FakeQuantize) and module.is_per_channel)


def convert(prepared: GraphNet) -> GraphNet:
    """The int8 net of a prepared one; the same images to the bit. The prepared net is left as it was.

    Its operators are float ones between those that quantise and dequantise, the weights float before theirs.
    """
    from torchao.quantization.pt2e import disable_observer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    converted = {}
    for scale in prepared.description.scales:
        graph = copy.deepcopy(prepared.at_scale(scale)).cpu()
        graph.apply(disable_observer)
        converted[scale] = convert_pt2e(graph, fold_quantize=False)
    return GraphNet(prepared.description, converted)


def save(path: Path, prepared: GraphNet, metadata: dict[str, Any]) -> None:
    """Write a prepared net: its state alone, as safetensors."""
    save_tensors(path, prepared.state_dict(), metadata)


def float_layers(path: Path) -> list[str]:
    """The layers that the net of :func:`save` leaves in float: to :func:`prepare` one that can take its state."""
    return list(load_metadata(path).get("float_layers", []))


def load(path: Path, prepared: GraphNet) -> None:
    """Give a net of :func:`prepare` the state of :func:`save`; UserError if that is of another net."""
    tensors, _ = load_tensors(path)
    try:
        prepared.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} does not fit the float net it should come from: {first}; run quantize again") from None
