"""EDSR against its paper and code: parameters, Mult-Adds, the scaled residual."""

from typing import Any

import pytest
import torch

from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.models import build
from pipeline_src.models.edsr import ResidualBlock
from pipeline_src.models.layers import DIV2K_MEAN

BASELINE: dict[str, Any] = {}
LARGE = {"channels": 256, "blocks": 32, "residual_scale": 0.1}
MEAN_SHIFT = 24  # frozen, and not in the published counts


@pytest.mark.parametrize(
    ("net", "scale", "count", "giga"),
    [
        (BASELINE, 2, 1_369_859, 316.2),
        (BASELINE, 3, 1_554_499, 160.3),
        (BASELINE, 4, 1_517_571, 114.2),
        (LARGE, 2, 40_729_603, 9_385),
        (LARGE, 3, 43_680_003, None),
        (LARGE, 4, 43_089_923, 2_895),
    ],
)
def test_parameters_and_mult_adds_at_720p(net: dict[str, Any], scale: int, count: int, giga: float | None) -> None:
    edsr = build("edsr", [scale], net).at_scale(scale)
    assert parameters(edsr) == count + MEAN_SHIFT
    assert sum(parameter.numel() for parameter in edsr.parameters() if parameter.requires_grad) == count
    if giga:
        assert mult_adds(edsr, scale) / 1e9 == pytest.approx(giga, rel=1e-3)


def test_it_has_one_scale() -> None:
    with pytest.raises(ValueError, match=r"one scale, not \[2, 3\]"):
        build("edsr", [2, 3], {})


@torch.no_grad()
def test_what_a_block_adds_is_scaled() -> None:
    plain, scaled = ResidualBlock(8, 1.0), ResidualBlock(8, 0.1)
    scaled.load_state_dict(plain.state_dict())
    x = torch.randn(1, 8, 6, 6)
    assert torch.allclose(scaled(x) - x, 0.1 * (plain(x) - x), atol=1e-6)


@torch.no_grad()
def test_a_skip_goes_over_all_blocks() -> None:
    net = build("edsr", [2], {"blocks": 2}).at_scale(2)
    torch.nn.init.zeros_(net.body[-1].weight)
    torch.nn.init.zeros_(net.body[-1].bias)
    lr, mean = torch.rand(1, 3, 8, 9) * 255, torch.tensor(DIV2K_MEAN)[:, None, None]
    expected = 255 * (net.tail(net.upscale(net.head(lr / 255 - mean))) + mean)
    assert torch.allclose(net(lr), expected, atol=1e-3)
