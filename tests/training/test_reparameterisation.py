"""Branches beside convolutions: what they amount to, that nothing but the training sees them, and that a stop changes
nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted import Stopped, fitted
from torch.nn import functional

from pipeline_src.config import Recipe, Reparameterise
from pipeline_src.models import build
from pipeline_src.training.reparameterisation import EDGES, EdgeOriented, Expanded, reparameterised

KINDS = [Reparameterise(kind="expanded", expansion=2), Reparameterise(kind="edges", expansion=3)]
NETS = {
    "abpn": ([3], {"channels": 8, "depth": 2}),
    "vdsr": ([2], {"channels": 8, "depth": 4}),
    "edsr": ([4], {"channels": 8, "blocks": 2}),
    "once_for_all": ([2, 4], {"space": "plain", "widths": [4, 8], "depths": [1, 2]}),
    "carn": ([2], {"mobile": True, "groups": 4}),  # its grouped convolutions stay as they are
}


def random_net(model: str) -> Any:
    torch.manual_seed(1)
    scales, arguments = NETS[model]
    net: Any = build(model, scales, arguments)
    for parameter in net.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return net.eval()


def chain(x: torch.Tensor, branches: Expanded) -> torch.Tensor:
    """Run the branches as the convolutions that they stand for, one after the other."""
    if not isinstance(branches, EdgeOriented):
        inner = functional.conv2d(functional.conv2d(x, branches.expand), branches.mix, padding=1)
        return functional.conv2d(inner, branches.project)
    y = functional.conv2d(functional.conv2d(x, branches.expand), branches.mix, padding=1)
    for index, edge in enumerate(EDGES):
        features = functional.conv2d(x, branches.to_edges[index][..., None, None])
        filters = branches.scales[index][:, None, None, None] * torch.tensor(edge, dtype=x.dtype)
        y = y + functional.conv2d(features, filters, padding=1, groups=len(filters))
    return y


@pytest.mark.parametrize("kind", [Expanded, EdgeOriented])
def test_the_kernel_is_that_of_the_convolutions_one_after_the_other(kind: type[Expanded]) -> None:
    torch.manual_seed(2)
    branches = kind(5, 7, 3)
    if isinstance(branches, EdgeOriented):
        torch.nn.init.normal_(branches.scales)
    x = torch.randn(2, 5, 12, 9)
    torch.testing.assert_close(
        functional.conv2d(x, branches.branches(), padding=1), chain(x, branches), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("how", KINDS, ids=lambda how: how.kind)
@pytest.mark.parametrize("model", NETS)
def test_a_net_gives_the_same_images_before_during_and_after(model: str, how: Reparameterise) -> None:
    net = random_net(model)
    scale = NETS[model][0][0]
    x = 255 * torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        before, shapes = net.at_scale(scale)(x), {key: tensor.shape for key, tensor in net.state_dict().items()}
        with reparameterised(net, how):
            during = net.at_scale(scale)(x)
            assert len(list(net.parameters())) > len(shapes)
        after = net.at_scale(scale)(x)
    torch.testing.assert_close(during / 255, before / 255, atol=1e-5, rtol=0)
    assert torch.equal(after, during), "the kernel is computed as in training, so not a bit changes"
    assert {key: tensor.shape for key, tensor in net.state_dict().items()} == shapes


def test_without_the_switch_a_net_is_left_alone() -> None:
    net = random_net("abpn")
    with reparameterised(net, None):
        assert {name for name, _ in net.named_parameters()} == set(net.state_dict())


@pytest.fixture
def train(train_h5: Path, tmp_path: Path) -> Callable[..., tuple[Any, list[Any]]]:
    """Train a net with branches, which ``stop_at`` interrupts; return it without them, and the curve."""

    def run(model: str, how: Reparameterise, stop_at: int | None = None) -> tuple[Any, list[Any]]:
        net, scales = random_net(model), NETS[model][0]
        recipe = Recipe(steps=10, batch=4, patch=8, lr=1e-3, ema=0.9)

        with reparameterised(net, how):
            curve = fitted(
                net, recipe, scales, train_h5, tmp_path / "checkpoint.safetensors", stop_at, validate_every=5
            )
        return net, curve

    return run


@pytest.mark.parametrize("how", KINDS, ids=lambda how: how.kind)
@pytest.mark.parametrize("model", ["abpn", "once_for_all"])
def test_a_training_that_was_stopped_ends_at_the_same_weights(
    train: Callable[..., tuple[Any, list[Any]]], model: str, how: Reparameterise
) -> None:
    straight, curve = train(model, how)
    with pytest.raises(Stopped):
        train(model, how, stop_at=7)
    resumed, resumed_curve = train(model, how)
    theirs = resumed.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in straight.state_dict().items())
    assert curve == resumed_curve
    untrained = random_net(model).state_dict()
    assert not any(torch.equal(tensor, theirs[key]) for key, tensor in untrained.items() if key.endswith("weight"))
