"""Rates, clipping and losses, against their definitions."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline_src.config import Recipe
from pipeline_src.training.optimisation import clip_gradients, loss_between, lr_at, optimiser_of


def recipe(**changes: Any) -> Recipe:
    plain = {
        "steps": 100,
        "batch": 4,
        "patch": 16,
        "augment": [],
        "loss": "l1",
        "lr": 0.1,
        "warmup": 0,
        "decay": "cosine",
    }
    return Recipe.model_validate(plain | changes)


def test_the_rate_falls_in_steps() -> None:
    stepped = recipe(decay=0.5, decay_every=40, warmup=10)
    assert [lr_at(step, stepped) for step in (0, 9, 39, 40, 80)] == pytest.approx([0.01, 0.1, 0.1, 0.05, 0.025])


def test_the_rate_falls_along_half_a_cosine() -> None:
    assert [lr_at(step, recipe()) for step in (0, 50, 100)] == pytest.approx([0.1, 0.05, 0.0])


def parameter_with_gradient(*gradient: float) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(len(gradient)))
    parameter.grad = torch.tensor(gradient)
    return parameter


def test_the_norm_is_over_all_gradients() -> None:
    one, other = parameter_with_gradient(3.0), parameter_with_gradient(0.0, 4.0)
    clip_gradients([one, other], recipe(clip=1.0), lr=0.1)
    assert torch.cat([one.grad, other.grad]).tolist() == pytest.approx([0.6, 0.0, 0.8], abs=1e-5)


def test_adjustable_clipping_bounds_the_change_of_a_step() -> None:
    for rate in (0.1, 0.01):
        parameter = parameter_with_gradient(-1000.0, 0.5)
        clip_gradients([parameter], recipe(clip=0.4, clip_by="element"), rate)
        assert parameter.grad.tolist() == pytest.approx([-0.4 / rate, 0.5])


def test_without_clip_gradients_stay() -> None:
    parameter = parameter_with_gradient(1e9)
    clip_gradients([parameter], recipe(), 0.1)
    assert parameter.grad.item() == 1e9


def test_losses_are_of_images_in_0_to_1() -> None:
    sr, hr = torch.full((2, 3, 4, 5), 255.0), torch.zeros(2, 3, 4, 5)
    assert {loss: loss_between(sr, hr, loss, "RGB").item() for loss in ("l1", "smooth_l1", "mse", "sse")} == {
        "l1": 1.0,
        "smooth_l1": 0.5,
        "mse": 1.0,
        "sse": 120.0,
    }


def test_the_loss_on_y_is_that_of_the_y_channels() -> None:
    torch.manual_seed(0)
    sr, hr = (torch.rand(1, 3, 6, 7) * 255 for _ in range(2))
    y = [(65.481 * x[:, 0] + 128.553 * x[:, 1] + 24.966 * x[:, 2]) / 255 + 16 for x in (sr, hr)]
    expected = ((y[0] - y[1]) / 255).square().mean().item()
    assert loss_between(sr, hr, "mse", "Y").item() == pytest.approx(expected, rel=1e-5)


def test_the_optimiser_has_what_the_recipe_says() -> None:
    net = nn.Linear(2, 1)
    sgd = optimiser_of(net, recipe(optimiser="sgd", momentum=0.8, weight_decay=1e-4), {})
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.8, 1e-4)
    adam = optimiser_of(net, recipe(momentum=0.5), {})
    assert isinstance(adam, torch.optim.Adam)
    assert adam.defaults["betas"] == (0.5, 0.999)


def test_children_may_have_a_rate_of_their_own() -> None:
    net = nn.ModuleDict({name: nn.Linear(2, 1) for name in ("upscaler", "downscaler")})
    net["upscaler"].bias.requires_grad_(False)
    others, slow = optimiser_of(net, recipe(), {"downscaler": 0.1}).param_groups
    assert (others["factor"], slow["factor"]) == (1.0, 0.1)
    assert [*map(id, others["params"])] == [id(net["upscaler"].weight)]
    assert [*map(id, slow["params"])] == [id(p) for p in net["downscaler"].parameters()]
