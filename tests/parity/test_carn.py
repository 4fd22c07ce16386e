"""CARN and CARN-M against their paper: parameters, Mult-Adds, the recursive block, the grouped upsampler."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.models import build
from pipeline_src.models.carn import ResidualUnit
from pipeline_src.models.layers import DIV2K_MEAN, Upscale

CARN: dict[str, Any] = {}
CARN_M = {"mobile": True, "groups": 4}


@pytest.mark.parametrize(
    ("net", "all_scales", "each"),
    [(CARN, 1_591_963, [964_187, 1_148_827, 1_111_899]), (CARN_M, 414_811, [257_051, 303_451, 294_171])],
)
def test_parameters(net: dict[str, Any], all_scales: int, each: list[int]) -> None:
    whole = build("carn", [2, 3, 4], net)
    assert parameters(whole) == all_scales
    assert [parameters(whole.at_scale(scale)) for scale in (2, 3, 4)] == each
    assert [parameters(build("carn", [scale], net)) for scale in (2, 3, 4)] == each


@pytest.mark.parametrize(
    ("net", "giga"),
    [(CARN, {2: 222.8, 3: 118.8, 4: 90.9}), (CARN_M, {2: 91.2, 3: 46.1, 4: 32.5})],
)
def test_mult_adds_at_720p(net: dict[str, Any], giga: dict[int, float]) -> None:
    whole = build("carn", [2, 3, 4], net)
    for scale, published in giga.items():
        assert mult_adds(whole.at_scale(scale), scale) / 1e9 == pytest.approx(published, abs=0.05)


def test_the_mobile_net_uses_one_unit_of_a_block_three_times() -> None:
    calls: list[nn.Module] = []
    net = build("carn", [2, 3, 4], CARN_M)
    for module in net.modules():
        if isinstance(module, ResidualUnit):
            module.register_forward_hook(lambda unit, *_: calls.append(unit))
    net.at_scale(2)(torch.rand(1, 3, 8, 8))
    assert len(calls) == 9
    assert len({id(next(unit.parameters())) for unit in calls}) == 3


def test_a_cascade_gives_each_block_all_that_came_before() -> None:
    """Written out once, as the paper draws it."""
    net = build("carn", [2], {}).at_scale(2).eval()
    lr = torch.rand(1, 3, 9, 8) * 255

    def fuse(conv: nn.Module, *features: Tensor) -> Tensor:
        return torch.relu(conv(torch.cat(features, dim=1)))

    def block(cascade: Any, x: Tensor) -> Tensor:
        unit1, unit2, unit3 = cascade.blocks
        fusion1, fusion2, fusion3 = cascade.fusions
        b1 = unit1(x)
        b2 = unit2(fuse(fusion1, x, b1))
        return fuse(fusion3, x, b1, b2, unit3(fuse(fusion2, x, b1, b2)))

    c0 = net.head(lr / 255 - torch.tensor(DIV2K_MEAN)[:, None, None])
    (block1, block2, block3), (fusion1, fusion2, fusion3) = net.body.blocks, net.body.fusions
    b1 = block(block1, c0)
    b2 = block(block2, fuse(fusion1, c0, b1))
    b3 = block(block3, fuse(fusion2, c0, b1, b2))
    exit = net.tail(net.upscale(fuse(fusion3, c0, b1, b2, b3)))
    expected = 255 * (exit + torch.tensor(DIV2K_MEAN)[:, None, None])
    assert torch.allclose(net(lr), expected, atol=1e-3)


@pytest.mark.parametrize("block", [2, 3])
@pytest.mark.parametrize(("groups", "split_phases"), [(1, False), (1, True), (4, False)])
def test_the_upsampler_is_a_grouped_convolution_and_pixel_shuffle(block: int, groups: int, split_phases: bool) -> None:
    """The published one has the channels in PixelShuffle's order: colour · block² + phase."""
    step = Upscale(block, 8, groups, relu=True, split_phases=split_phases)
    weights, biases = (torch.cat([getattr(conv, key) for conv in step.phases]) for key in ("weight", "bias"))
    order = torch.arange(8 * block**2).reshape(block**2, 8).T.flatten()
    x = torch.randn(2, 8, 5, 7)
    published = functional.conv2d(x, weights[order], biases[order], padding=1, groups=groups)
    assert torch.allclose(step(x), functional.pixel_shuffle(published.relu(), block), atol=1e-5)


@torch.no_grad()
def test_without_weights_it_is_the_mean_of_div2k() -> None:
    net = build("carn", [2], {}).at_scale(2)
    for parameter in net.parameters():
        if parameter.requires_grad:
            nn.init.zeros_(parameter)
    expected = 255 * torch.tensor(DIV2K_MEAN)[None, :, None, None].expand(1, 3, 16, 16)
    assert torch.allclose(net(torch.rand(1, 3, 8, 8) * 255), expected)
