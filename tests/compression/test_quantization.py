"""Quantised nets: prepared and converted alike to the bit, kept and built again, annotated by operator."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_net import calibrated, cascade, images, tensor, trained_net
from torch import nn

from pipeline_src.compression import quantization
from pipeline_src.errors import UserError
from pipeline_src.models import build

QUANTIZE = "quantized_decomposed.quantize_per_tensor.default"
DEQUANTIZE = tuple(f"quantized_decomposed.dequantize_per_{what}.default" for what in ("tensor", "channel"))


def sr_of(net: Any, image: Any) -> torch.Tensor:
    with torch.no_grad():
        return net(tensor(image))


@pytest.fixture(scope="module")
def prepared() -> Any:
    return calibrated(trained_net())


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("net", [trained_net, cascade])
def test_converted_equals_prepared(net: Any, fold: bool) -> None:
    graph = calibrated(net())
    converted = quantization.convert(graph, fold=fold)
    for image in images():
        assert torch.equal(sr_of(converted, image), sr_of(graph, image))


def test_converting_leaves_the_prepared_graph_as_it_was(prepared: Any) -> None:
    before = {key: value.clone() for key, value in prepared.state_dict().items()}
    quantization.convert(prepared, fold=True)
    assert all(torch.equal(value, before[key]) for key, value in prepared.state_dict().items())


def test_int8_is_close_to_float_and_a_whole_image(prepared: Any) -> None:
    image = images()[0]
    sr, float_sr = sr_of(prepared, image), sr_of(trained_net(), image)
    assert torch.equal(sr, sr.round())
    assert sr.min() >= 0
    assert sr.max() <= 255
    assert 0 < (sr - float_sr).square().mean() < 1.0  # 48 dB: quantised, and no worse than that


def test_kept_state_gives_the_same_net_to_the_bit(prepared: Any, tmp_path: Path) -> None:
    quantization.save(tmp_path / "ptq.safetensors", {3: prepared}, {"variant": "ptq"})
    again = quantization.load(tmp_path / "ptq.safetensors", trained_net())[3]
    for fold in (False, True):
        one, other = (quantization.convert(graph, fold=fold) for graph in (prepared, again))
        assert torch.equal(sr_of(one, images()[1]), sr_of(other, images()[1]))
    assert torch.equal(sr_of(prepared, images()[1]), sr_of(again.eval() or again, images()[1]))


def test_state_of_another_net_is_refused(prepared: Any, tmp_path: Path) -> None:
    quantization.save(tmp_path / "ptq.safetensors", {3: prepared}, {})
    with pytest.raises(UserError, match=r"ptq\.safetensors does not fit"):
        quantization.load(tmp_path / "ptq.safetensors", build("abpn", [3], {"channels": 14, "depth": 2}))


def test_calibrating_without_images_is_refused() -> None:
    with pytest.raises(UserError, match="no image to calibrate"):
        quantization.calibrate(quantization.prepare(trained_net()), [])


def test_training_moves_the_ranges_until_they_freeze_and_never_while_validating() -> None:
    graph = calibrated(trained_net())
    before_step = quantization.freeze_ranges(graph, after=1)
    batch = torch.cat([tensor(image) for image in images()])

    def ranges() -> list[torch.Tensor]:
        return [value.clone() for key, value in graph.state_dict().items() if key.endswith("max_val")]

    def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    before_step(0)
    start = ranges()
    with quantization.observers_off(graph):
        graph(255 - batch)
    assert same(ranges(), start)
    graph(255 - batch)
    moved = ranges()
    assert not same(moved, start)
    before_step(1)
    graph(batch)
    assert same(ranges(), moved)


def test_training_reaches_every_weight() -> None:
    graph = calibrated(trained_net())
    graph(tensor(images()[0])).mean().backward()
    weights = dict(graph.named_parameters())
    assert len(weights) == len(list(trained_net().parameters()))
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


@pytest.mark.parametrize("net", [trained_net, cascade])
def test_every_operator_reads_int8_and_nothing_is_rescaled_between_two(net: Any) -> None:
    graph = quantization.convert(calibrated(net()), fold=True).graph
    for node in graph.nodes:
        if node.op != "call_function" or str(node.target) in (QUANTIZE, *DEQUANTIZE):
            continue
        if node.target is torch.ops.aten.relu.default:
            continue  # part of the convolution or sum before it
        tensors = [n for n in node.all_input_nodes if n.op != "get_attr"]
        assert tensors, node
        assert all(str(n.target) in DEQUANTIZE for n in tensors), node
    rescaled = [n for n in graph.nodes if str(n.target) == QUANTIZE and str(n.args[0].target) in DEQUANTIZE]
    assert not rescaled


def test_an_unknown_operator_is_named() -> None:
    class Squashed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x)

    with pytest.raises(NotImplementedError, match="tanh"):
        quantization.prepare(Squashed())
