"""ECDN and ECDN-M against their report and released weights, and without what was wrong in them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.models import build, ecdn
from pipeline_src.models.layers import upsampler
from pipeline_src.models.layers.batch_norm import ScaleBatchNorm, fold_batch_norm

ECDN: dict[str, Any] = {}
ECDN_M = {"mobile": True}
SCALES = [2, 3, 4]
both = pytest.mark.parametrize("net", [ECDN, ECDN_M], ids=["ecdn", "ecdn_m"])


def patches(seed: int, count: int = 4) -> Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) * 255


def statistics(net: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in net.named_buffers()}


def with_statistics(net: dict[str, Any]) -> Any:
    """A net whose running statistics are those of one batch, at every scale: with momentum 1 after one step."""
    torch.manual_seed(0)
    whole = build("ecdn", SCALES, net)
    for module in whole.modules():
        if isinstance(module, ScaleBatchNorm):
            module.MOMENTUM = 1.0
    with torch.no_grad():
        for scale in SCALES:
            whole.at_scale(scale).train()(patches(0))
    return whole


# --- as published


def test_parameters() -> None:
    whole = build("ecdn", SCALES, ECDN)
    assert parameters(whole) == 694_555
    assert [parameters(whole.at_scale(scale)) for scale in SCALES] == [536_795, 583_195, 573_915]
    assert [parameters(build("ecdn", [scale], ECDN)) for scale in SCALES] == [536_795, 583_195, 573_915]
    assert {parameters(block) for block in whole.body.blocks} == {153_024}
    assert parameters(build("ecdn", SCALES, ECDN_M)) == 396_955


@pytest.mark.parametrize(("scale", "giga"), [(2, 123.0), (3, 60.3), (4, 40.5)])
def test_mult_adds_at_720p(scale: int, giga: float) -> None:
    assert mult_adds(build("ecdn", SCALES, ECDN).at_scale(scale), scale) / 1e9 == pytest.approx(giga, abs=0.05)


def test_a_dense_block_as_it_was_drawn() -> None:
    block = build("ecdn", [2], ECDN).at_scale(2).eval().body.blocks[0]
    features = x = torch.randn(1, 64, 6, 7)
    for layer in block.layers:
        features = torch.cat([features, layer.conv(torch.relu(layer.norm(features)))], dim=1)
    assert features.shape[1] == 192
    transition = block.transition
    assert torch.equal(block(x), transition.conv(torch.relu(transition.norm(features))))


# --- the up-and-down step of ECDN-M, published as the upsampler and then nearest-neighbour downscaling


def published_step(x: Tensor, steps: nn.Module) -> Tensor:
    up = steps(x)
    return functional.interpolate(up, scale_factor=x.shape[2] / up.shape[2], mode="nearest")


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("scale", SCALES)
def test_the_step_is_the_published_one_without_its_waste(scale: int, groups: int) -> None:
    steps = upsampler(scale, 64, groups, split_phases=True)
    x = torch.randn(2, 64, 9, 12)
    assert torch.allclose(ecdn.up_and_down(x, steps), published_step(x, steps), atol=1e-5)


@pytest.mark.parametrize(("scale", "giga", "published"), [(2, 59.686, 72.4), (3, 32.135, 47.2), (4, 28.862, 44.8)])
def test_what_the_waste_cost(scale: int, giga: float, published: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net = build("ecdn", SCALES, ECDN_M).at_scale(scale).eval()
    lr = patches(0)
    ours, sr = mult_adds(net, scale), net(lr)
    monkeypatch.setattr(ecdn, "up_and_down", published_step)
    assert mult_adds(net, scale) / 1e9 == pytest.approx(published, abs=0.05)
    assert torch.allclose(net(lr), sr, atol=1e-4)
    assert ours / 1e9 == pytest.approx(giga, abs=0.001)


def test_only_the_next_block_gets_the_stepped_features(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build("ecdn", SCALES, ECDN_M).at_scale(2).eval()
    stepped: list[Tensor] = []
    seen: dict[str, Tensor] = {}

    def step(x: Tensor, steps: nn.Module) -> Tensor:
        stepped.append(2 * x)
        return stepped[-1]

    monkeypatch.setattr(ecdn, "up_and_down", step)
    for index, (block, fusion) in enumerate(zip(net.body.blocks, net.body.fusions, strict=True)):
        block.register_forward_hook(
            lambda _, inputs, output, i=index: seen.update({f"in{i}": inputs[0], f"b{i}": output})
        )
        fusion.register_forward_hook(lambda _, inputs, output, i=index: seen.update({f"c{i}": inputs[0]}))
    net(patches(0))
    assert len(stepped) == 2
    assert torch.equal(seen["in1"], stepped[0])
    assert torch.equal(seen["in2"], stepped[1])
    assert torch.equal(seen["c2"], torch.cat([seen["in0"], seen["b0"], seen["b1"], seen["b2"]], dim=1))


# --- batch norm: published with the statistics of the image at hand, or with those of all scales together


@both
@torch.no_grad()
def test_an_image_comes_out_the_same_whatever_is_beside_it(net: dict[str, Any]) -> None:
    whole = with_statistics(net)
    for scale in SCALES:
        part = whole.at_scale(scale).eval()
        alone = part(patches(1, count=1))
        beside = part(torch.cat([patches(1, count=1), 0.1 * patches(2)]))[:1]
        assert torch.allclose(alone, beside, atol=1e-3)
        assert (part.train()(patches(1, count=1)) - alone).abs().max() > 1  # as it was published: its own statistics


@both
@torch.no_grad()
def test_evaluation_leaves_the_statistics_alone(net: dict[str, Any]) -> None:
    whole = with_statistics(net)
    before = statistics(whole)
    whole.at_scale(3).eval()(patches(1))
    assert all(torch.equal(tensor, before[key]) for key, tensor in whole.named_buffers())


@both
@torch.no_grad()
def test_each_scale_has_its_own_statistics(net: dict[str, Any]) -> None:
    whole = build("ecdn", SCALES, net)
    before = statistics(whole)
    whole.at_scale(2).train()(patches(0))
    for key, tensor in whole.named_buffers():
        assert torch.equal(tensor, before[key]) == (".statistics.2." not in key), key
    assert {key for key, _ in whole.at_scale(3).named_buffers()} == {
        key.replace(".statistics.3.", ".statistics.") for key in before if ".statistics.3." in key
    }


@both
@torch.no_grad()
def test_after_training_each_scale_evaluates_as_it_trained(net: dict[str, Any]) -> None:
    whole = with_statistics(net)
    for scale in SCALES:
        part = whole.at_scale(scale)
        trained, evaluated = part.train()(patches(0)), part.eval()(patches(0))
        assert (trained - evaluated).abs().max() < 0.5


@torch.no_grad()
def test_the_statistics_of_another_scale_are_wrong_for_the_mobile_net() -> None:
    """What made the published ECDN-M fall below bicubic at ×3."""
    whole = with_statistics(ECDN_M)
    own = whole.at_scale(3).eval()(patches(0))
    for module in whole.modules():
        if isinstance(module, ScaleBatchNorm):
            module.statistics["3"] = module.statistics["2"]
    assert (whole.at_scale(3).eval()(patches(0)) - own).abs().max() > 1


@both
@torch.no_grad()
def test_folding_keeps_the_image_and_leaves_no_batch_norm(net: dict[str, Any]) -> None:
    whole = with_statistics(net)
    for module in whole.modules():
        if isinstance(module, ScaleBatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    part = whole.at_scale(3).eval()
    folded = fold_batch_norm(part)
    assert not any(isinstance(module, ScaleBatchNorm) for module in folded.modules())
    assert any(isinstance(module, ScaleBatchNorm) for module in part.modules())
    assert not list(folded.buffers())
    assert torch.allclose(folded(patches(1)), part(patches(1)), atol=1e-3)
