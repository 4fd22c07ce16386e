"""Int8 nets through PyTorch's PT2E flow: post-training quantisation (PTQ) and quantisation-aware training (QAT).

A *prepared* net is the float net with fake quantisation wherever the quantizer asks for it. It computes what the int8
net will compute, and it can be trained. Its state (weights, scales, zero points, ranges) is what is saved.
:func:`convert` turns it into the int8 net for the exporters, which gives bit-identical images.
"""

import copy
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from torch import fx, nn

from pipeline_src.compression.quantization.rounding import round_biases
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import GraphNet, constant, fit_for_int8
from pipeline_src.weights import load_metadata, load_tensors, restore, save_tensors

# While it is imported, torchao warns about each CUDA kernel that this machine cannot use.
logging.getLogger("torchao").setLevel(logging.ERROR)


def prepare(folded: GraphNet, float_layers: Collection[str] = ()) -> GraphNet:
    """Return a net with fake quantisation; its weights are copies.

    Its observers are on and its ranges are unset: call :func:`calibration.calibrate` or :func:`load` next.

    Args:
        folded: A net from :func:`folding.fold`.
        float_layers: Names of layers that stay in float, as :func:`folding.layer_of` names them.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    from pipeline_src.compression.quantization.quantizer import SuperResolutionQuantizer

    prepared = {}
    for scale in folded.description.scales:
        graph = copy.deepcopy(folded.at_scale(scale))
        fit_for_int8(graph)
        prepared[scale] = prepare_qat_pt2e(graph, SuperResolutionQuantizer(float_layers))
    return GraphNet(folded.description, prepared)


def begin_qat(prepared: nn.Module) -> None:
    """Let the quantisation steps of weights follow the weights, so that no pair can saturate during training.

    The steps of activations stay as calibrated. If they followed the extremes during training, calibration would be
    undone (CARN-M lost 0.9 dB in 60 steps).

    Args:
        prepared: A calibrated net.
    """
    for fake_quantize in _weight_quantizers(prepared):
        fake_quantize.enable_observer()


def end_qat(prepared: nn.Module) -> None:
    """Fix the quantisation steps of the weights, and round biases to the resulting steps."""
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
    """Return the int8 net of a prepared net, which gives bit-identical images; the prepared net is not changed.

    Its graph has float operators between explicit quantisation and dequantisation, also of its float weights.
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
    """Write the state of a prepared net as safetensors."""
    save_tensors(path, prepared.state_dict(), metadata)


def float_layers(path: Path) -> list[str]:
    """Return the layers that a saved net leaves in float; :func:`prepare` needs them before :func:`load`."""
    return list(load_metadata(path).get("float_layers", []))


def load(path: Path, prepared: GraphNet) -> None:
    """Load the state that :func:`save` wrote into a net of :func:`prepare`.

    Raises:
        UserError: If the file is missing or corrupt, or its state does not fit the net.
    """
    tensors, _ = load_tensors(path)
    try:
        restore(prepared, tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} does not fit the float net it should come from: {first}; run quantize again") from None
