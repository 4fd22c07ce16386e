"""An upscaler trained with a learned downscaler: what reaches which, and that a stop changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted import Stopped, fitted
from torch import Tensor

from pipeline_src import downscaling
from pipeline_src.config import Downscaler, Recipe
from pipeline_src.imaging.images import through_jpeg
from pipeline_src.models import build
from pipeline_src.training import joint

SLIM = {"entry": 4, "features": 8, "head": 8, "blocks": 1}
RECIPE = {"steps": 8, "batch": 2, "patch": 10, "augment": ["hflip"], "loss": "l1", "lr": 1e-3, "warmup": 0}


def joint_net(**changes: Any) -> joint.Joint:
    torch.manual_seed(1)
    spec = Downscaler.model_validate({"model": "car", "net": SLIM, "offset_weight": 1e-3, "tv_weight": 1e-2} | changes)
    upscaler = build("abpn", [4], {"channels": 8, "depth": 1})
    return joint.Joint(upscaler, downscaling.build("car", [4], spec.net), spec)


@pytest.fixture
def train(train_h5: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(stop_at: int | None = None, **changes: Any) -> Any:
        recipe = Recipe.model_validate(RECIPE | {"decay": "cosine", "ema": 0.9})
        net = joint_net(**changes)

        settings = {"checkpoint_every": 3, "validate_every": 4, "lr_factors": {"downscaler": net.spec.lr_factor}}
        curve = fitted(net, recipe, [4], train_h5, tmp_path / "checkpoint.safetensors", stop_at, **settings)
        return net, curve

    return run


@pytest.mark.parametrize(
    "changes", [{}, {"jpeg": [30, 90, 100], "rounding": "straight", "lr_factor": 0.1}], ids=["soft", "jpeg"]
)
def test_a_training_that_was_stopped_ends_at_the_same_weights(train: Callable[..., Any], changes: Any) -> None:
    straight, curve = train(**changes)
    with pytest.raises(Stopped):
        train(stop_at=5, **changes)
    resumed, resumed_curve = train(**changes)
    assert curve == resumed_curve
    theirs = resumed.state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in straight.state_dict().items())
    untrained = joint_net(**changes).state_dict()
    moved = {
        key.split(".")[0] for key, tensor in straight.state_dict().items() if not torch.equal(tensor, untrained[key])
    }
    assert moved >= {"upscaler", "downscaler"}


def test_what_the_upscaler_gets_is_an_8_bit_image() -> None:
    net = joint_net()
    seen: list[Tensor] = []
    net.upscaler.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    through = joint._ThroughLR(net, net.upscaler)
    for mode in (through.train(), through.eval()):
        mode(255 * torch.rand(1, 3, 40, 48))
    for lr in seen:
        assert lr.shape == (1, 3, 10, 12)
        assert torch.equal(lr, lr.round().clamp(0, 255))


def test_the_regularisers_are_added_with_their_weights() -> None:
    torch.manual_seed(0)
    hr = 255 * torch.rand(1, 3, 32, 32)
    found = []
    for weights in ({}, {"offset_weight": 2e-3}, {"tv_weight": 2e-2}):
        net = joint_net(**weights)
        for head in (net.downscaler.down, net.downscaler.across):
            torch.manual_seed(2)
            torch.nn.init.normal_(head[-1].weight)
        found.append(net.at_scale(4).train()(hr)[1].item())
    both, more_offset, more_tv = found
    assert 0 < both < min(more_offset, more_tv)
    assert (more_offset - both) + (more_tv - both) == pytest.approx(both, rel=1e-3)


def test_jpeg_is_what_the_file_gives_back_and_its_gradient_passes() -> None:
    torch.manual_seed(0)
    lr = (255 * torch.rand(3, 3, 16, 24)).round().requires_grad_()
    back = joint._through_jpeg(lr, [30, 100], step=1)
    images = lr.detach().permute(0, 2, 3, 1).to(torch.uint8).numpy()
    for i, quality in enumerate((100, 30, 100)):  # the second step begins with the fourth image
        expected = images[i] if quality == 100 else through_jpeg(images[i], quality)
        assert np.array_equal(back[i].detach().permute(1, 2, 0).numpy(), expected)
    (gradient,) = torch.autograd.grad(back.sum(), lr)
    assert torch.equal(gradient, torch.ones_like(lr))
