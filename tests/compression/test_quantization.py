"""Quantised nets: prepared and converted alike to the bit, kept and built again, annotated by operator."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_net import NETS, Identity, OneScale, calibrated, cascade, images, prepared, tensor, trained, trained_net
from torch import nn

from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import constant
from pipeline_src.graph.saturation import fits
from pipeline_src.models import build

QUANTIZE = "quantized_decomposed.quantize_per_tensor.default"
DEQUANTIZE = tuple(f"quantized_decomposed.dequantize_per_{what}.default" for what in ("tensor", "channel"))


def sr_of(net: Any, image: Any, scale: int = 3) -> torch.Tensor:
    with torch.no_grad():
        return net.at_scale(scale)(tensor(image))


@pytest.fixture(scope="module")
def abpn() -> Any:
    return calibrated(trained_net())


@pytest.mark.parametrize("name", [*NETS, "cascade"])
def test_converted_equals_prepared_and_nothing_is_rescaled_between_two_operators(name: str) -> None:
    graphs = calibrated(cascade() if name == "cascade" else trained(name))
    converted = quantization.convert(graphs)
    for scale in graphs.description.scales:
        image = images()[1][:21, :23]
        assert torch.equal(sr_of(converted, image, scale), sr_of(graphs, image, scale))
        nodes = converted.at_scale(scale).graph.nodes
        rescaled = [n for n in nodes if str(n.target) == QUANTIZE and str(n.args[0].target) in DEQUANTIZE]
        assert not rescaled
        for node in nodes:
            if node.op != "call_function" or str(node.target).startswith("quantized_decomposed"):
                continue
            if node.target is torch.ops.aten.relu.default:
                continue  # part of the convolution or sum before it
            tensors = [n for n in node.all_input_nodes if n.op != "get_attr"]
            assert tensors, node
            assert all(str(n.target) in DEQUANTIZE for n in tensors), node


def test_converting_leaves_the_prepared_net_as_it_was(abpn: Any) -> None:
    before = {key: value.clone() for key, value in abpn.state_dict().items()}
    quantization.convert(abpn)
    assert all(torch.equal(value, before[key]) for key, value in abpn.state_dict().items())


def test_int8_is_close_to_float_and_a_whole_image(abpn: Any) -> None:
    image = images()[0]
    sr, float_sr = sr_of(abpn, image), sr_of(trained_net(), image)
    assert torch.equal(sr, sr.round())
    assert sr.min() >= 0
    assert sr.max() <= 255
    assert 0 < (sr - float_sr).square().mean() < 1.0  # 48 dB: quantised, and no worse than that


def test_kept_state_gives_the_same_net_to_the_bit(abpn: Any, tmp_path: Path) -> None:
    quantization.save(tmp_path / "ptq.safetensors", abpn, {"variant": "ptq"})
    again = prepared(trained_net())
    quantization.load(tmp_path / "ptq.safetensors", again)
    kept, loaded = abpn.state_dict(), again.state_dict()
    assert [name for name in kept if not torch.equal(kept[name], loaded[name])] == []
    one, other = (quantization.convert(graphs) for graphs in (abpn, again))
    assert torch.equal(sr_of(one, images()[1]), sr_of(other, images()[1]))
    assert torch.equal(sr_of(abpn, images()[1]), sr_of(again, images()[1]))


def test_state_of_another_net_is_refused(abpn: Any, tmp_path: Path) -> None:
    quantization.save(tmp_path / "ptq.safetensors", abpn, {})
    for scales, channels in (([3], 14), ([2], 12)):
        with pytest.raises(UserError, match=r"ptq\.safetensors does not fit"):
            quantization.load(
                tmp_path / "ptq.safetensors", prepared(build("abpn", scales, {"channels": channels, "depth": 2}))
            )


def test_calibrating_without_images_is_refused() -> None:
    with pytest.raises(UserError, match="no image to calibrate"):
        calibrate(prepared(trained_net()), {3: []})


def test_each_scale_has_weights_and_ranges_of_its_own() -> None:
    graphs = prepared(trained("vdsr"))
    keys = list(graphs.state_dict())
    assert {key.split(".")[0] for key in keys} == {"x2", "x3"}
    assert sorted(key[2:] for key in keys if key[:2] == "x2") == sorted(key[2:] for key in keys if key[:2] == "x3")
    two, three = (dict(graphs.at_scale(scale).named_parameters()) for scale in (2, 3))
    assert all(torch.equal(two[key], three[key]) and two[key] is not three[key] for key in two)


def test_an_even_area_stays_what_it_is_through_weights_that_are_given() -> None:
    """Bicubic upscaling in 8 bits: rounded weights that do not add up to 1 would change every even area."""
    net = build("vdsr", [2, 3, 4], {"channels": 4, "depth": 3})
    nn.init.zeros_(net.body[-1].weight)
    graphs = calibrated(net)
    for scale in (2, 3, 4):
        for grey in (0, 1, 77, 254, 255):
            sr = sr_of(graphs, np.full((9, 11, 3), grey, np.uint8), scale)
            assert (sr - grey).abs().max() <= 1  # the upscaled image is in steps of its own, that hold its overshoots


def test_pixels_enter_and_leave_a_net_of_0_to_1_exactly() -> None:
    """Less the mean of DIV2K, which falls between two levels, and with it again; at the borders too."""
    net = OneScale(Identity(), 1)
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    assert (sr_of(calibrated(net), image, 1) - tensor(image)).abs().max() < 1e-3


def test_in_training_steps_begin_qat_that_grow_and_activations_keep_their_ranges() -> None:
    graphs = copy.deepcopy(calibrated(trained_net()))
    quantization.begin_qat(graphs)
    batch = torch.cat([tensor(image) for image in images()])

    def moved(factor: float) -> set[int]:
        """The dimensions of the ranges that move with the weights: 0 of activations, 1 of weights."""
        before = {key: value.clone() for key, value in graphs.state_dict().items() if key.endswith("max_val")}
        for parameter in graphs.parameters():
            parameter.data *= factor
        graphs.at_scale(3)(batch)
        return {
            value.ndim for key, value in graphs.state_dict().items() if key in before and (value != before[key]).any()
        }

    assert moved(0.9) == set()
    assert moved(1.5) == {1}


@pytest.mark.parametrize("name", NETS)
def test_no_pair_of_weights_can_saturate_after_calibration_or_after_training(name: str) -> None:
    graphs = copy.deepcopy(calibrated(trained(name)))
    assert_fit(graphs)
    torch.manual_seed(0)
    for parameter in graphs.parameters():
        parameter.data += 0.3 * parameter.abs().mean() * torch.randn_like(parameter)
    quantization.begin_qat(graphs)
    quantization.end_qat(graphs)
    assert_fit(graphs)
    flags = {key: value for key, value in graphs.state_dict().items() if key.endswith("observer_enabled")}
    assert not any(flag.any() for flag in flags.values())


def assert_fit(graphs: Any) -> None:
    for scale in graphs.description.scales:
        graph, checked = quantization.convert(graphs).at_scale(scale), 0
        for node in graph.graph.nodes:
            if str(node.target) == "quantized_decomposed.quantize_per_channel.default":
                weight, steps, zero_points = (constant(graph, argument) for argument in node.args[:3])
                rounded = node.target(weight, steps, zero_points, *node.args[3:])
                assert fits(rounded.float()).all(), node
                checked += 1
        assert checked >= 5


@pytest.mark.parametrize("name", ["abpn", "vdsr", "carn_m", "ecdn_m"])
def test_training_reaches_every_weight(name: str) -> None:
    graphs, net = copy.deepcopy(calibrated(trained(name))), trained(name)
    for scale in graphs.description.scales:
        sr = graphs.at_scale(scale)(tensor(images()[0][:16, :16]))
        (sr - torch.linspace(0, 255, sr.shape[-1])).square().mean().backward()
        weights = dict(graphs.at_scale(scale).named_parameters())
        assert len(weights) >= len([p for p in net.at_scale(scale).parameters() if p.requires_grad])
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(UserError, match=r"does not know the operator aten\.tanh"):
        prepared(OneScale(nn.Tanh(), 1))
