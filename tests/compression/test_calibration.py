"""Calibration: the float net stays the same, and the int8 net comes close to it."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from small_net import NETS, OneScale, calibrated, images, prepared, tensor, trained
from torch import nn
from torchao.quantization.pt2e import disable_fake_quant

from pipeline_src.compression.calibration import SAMPLES, calibrate
from pipeline_src.graph.folding import fold


def sr_of(net: Any, scale: int) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([net.at_scale(scale)(tensor(image)) for image in images()])


def decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    return (10 * torch.log10(255**2 / (one - other).square().mean())).item()


@pytest.mark.parametrize("name", NETS)
def test_int8_is_close_to_float_and_equal_channels_are_the_same_float_net(name: str) -> None:
    net = trained(name)
    int8 = calibrated(net)
    float_again = copy.deepcopy(int8)
    float_again.apply(disable_fake_quant)
    for scale in net.description.scales:
        sr = sr_of(fold(net), scale)
        assert decibels(sr_of(int8, scale), sr) > 44
        assert decibels(sr_of(float_again, scale).clamp(0, 255), sr) > 44  # but for what biases are corrected by
        weights = (dict(graphs.at_scale(scale).named_parameters()) for graphs in (int8, prepared(net)))
        moved = [not torch.allclose(*pair) for pair in zip(*(its.values() for its in weights), strict=True)]
        assert any(moved)


class Dense(nn.Module):
    """What dense blocks end up as: a part in the hundredths beside one in the tens, and batch norm that evens them."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm = nn.Conv2d(6, 6, 1, groups=6)
        self.exit = nn.Conv2d(6, 3, 1)
        for conv, gain in ((self.small, 1e-4), (self.large, 0.1)):
            conv.weight.data = gain * torch.eye(3)[:, :, None, None]
        self.norm.weight.data = torch.tensor([1e4] * 3 + [10.0] * 3)[:, None, None, None]
        self.exit.weight.data = torch.cat([torch.eye(3), torch.zeros(3, 3)], dim=1)[:, :, None, None]
        for conv in (self.small, self.large, self.norm, self.exit):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.exit(torch.relu(self.norm(torch.cat([self.small(x), self.large(x)], dim=1))))


def test_a_small_part_of_a_concatenation_survives_int8() -> None:
    """In steps of the large part, 0.1, the small part, up to 0.0255, would be nothing."""
    net = OneScale(Dense(), 1)
    assert decibels(sr_of(calibrated(net), 1), sr_of(net, 1)) > 50


def test_a_channel_that_only_one_image_wakes_leaves_the_others_their_steps() -> None:
    """Taken for a small one and multiplied, it would overrun the range of all on the bright image."""
    first, last = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 3, 1)
    eye = torch.eye(3)[:, :, None, None]
    first.weight.data = torch.cat([eye, eye])
    first.bias.data = torch.tensor([0.0] * 3 + [-200.0] * 3)  # type: ignore[union-attr]
    last.weight.data = torch.cat([eye, -eye], dim=1)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    net = OneScale(nn.Sequential(first, nn.ReLU(), last), 1)
    bright = np.arange(0, 256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    graphs = prepared(net)
    calibrate(graphs, {1: [np.minimum(bright, 201)] * 3 + [bright]})
    with torch.no_grad():
        assert decibels(graphs.at_scale(1)(tensor(bright)), net.net(tensor(bright))) > 55  # 49 by the first two


def test_what_rounding_weights_takes_off_the_mean_goes_into_the_biases() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    conv.weight.data = torch.full((3, 3, 3, 3), 0.0114)  # 4.52 steps, all rounded up
    conv.weight.data[:, 0, 1, 1] = 0.32
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    net = OneScale(conv, 1)
    error = (sr_of(calibrated(net), 1) - sr_of(net, 1)).mean().item()
    step = 0.32 / 127
    gained = (round(0.0114 / step) * step - 0.0114) * 26 * np.mean(images())
    assert gained > 2
    assert abs(error) < 0.2


def test_ranges_are_those_of_large_activations_too() -> None:
    """Of many values some are looked at, their extremes always."""
    rare = np.full((300, 300, 3), 10, np.uint8)
    rare[7, 8] = 250
    assert rare.size > SAMPLES
    conv = nn.Conv2d(3, 3, 1, bias=False)
    conv.weight.data = torch.eye(3)[:, :, None, None]
    graphs = prepared(OneScale(nn.Sequential(conv, nn.ReLU(), copy.deepcopy(conv)), 1))
    calibrate(graphs, {1: [rare]})
    with torch.no_grad():
        assert graphs.at_scale(1)(tensor(rare)).max() > 0.3 * 250  # the least share of an extreme that is kept
