"""Progressive shrinking: the phases in their order, what is added to the loss, and that a stop changes nothing."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted import Stopped

from pipeline_src import downscaling
from pipeline_src.config import Downscaler, Recipe, ShrinkPhase, Training
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.metrics.validation import validator
from pipeline_src.models import build
from pipeline_src.training.joint import Joint
from pipeline_src.training.loop import TrainingRun, fit
from pipeline_src.training.session import patches_of
from pipeline_src.training.shrinking import Distillation, Shrinking, check, shrink, with_smallest

PLAIN = {"space": "plain", "widths": [4, 6, 8], "depths": [1, 2]}
MOBILE = {"space": "mobile", "widths": [1, 2], "depths": [1, 2], "kernels": [3, 5], "channels": 4, "hr_channels": 3}
RECIPE = {
    "steps": 4,
    "batch": 4,
    "patch": 8,
    "augment": ["hflip"],
    "loss": "l1",
    "lr": 1e-3,
    "warmup": 0,
    "decay": "cosine",
    "ema": 0.5,
}
PHASES = [
    {"dimension": "depth", "choices": [1, 2], "steps": 3, "subnets": 2},
    {"dimension": "width", "choices": [6, 8], "steps": 5},
    {"dimension": "width", "choices": [4, 6, 8], "steps": 5, "subnets": 4},
    {"dimension": "scale", "choices": [2, 4], "steps": 3, "subnets": 2},
]
OF_MOBILE = [
    {"dimension": "kernel", "choices": [3, 5], "steps": 3},
    {"dimension": "depth", "choices": [1, 2], "steps": 3},
    {"dimension": "width", "choices": [1, 2], "steps": 3, "subnets": 2},
]

SANDWICHES = [
    {"dimension": "depth", "choices": [1, 2], "steps": 3, "subnets": 3},
    {"dimension": "width", "choices": [4, 6, 8], "steps": 3, "subnets": 3},
    {"dimension": "tail", "choices": [1, 2], "steps": 6, "subnets": 3},
]


def net_of(net: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    return build("once_for_all", [2, 4], net)


def recipe_of(phases: list[dict[str, Any]], **changes: Any) -> Training:
    shrink = {"shrink": [phase.model_dump() for phase in phases_of(phases)], "distil": 0.5}
    return Training.model_validate(RECIPE | shrink | changes)


def phases_of(phases: list[dict[str, Any]]) -> list[ShrinkPhase]:
    return [ShrinkPhase.model_validate({"lr": 1e-3} | phase) for phase in phases]


def pixels(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 255


@pytest.fixture
def train(train_h5: Path, tmp_path: Path) -> Callable[..., Any]:
    """Shrink a net, from the checkpoints of an earlier call if that was stopped: the net, its curve, its phases."""

    def run(
        net: dict[str, Any], phases: list[dict[str, Any]], stop_at: tuple[int, int] = (-1, -1), **changes: Any
    ) -> Any:
        whole, seen = net_of(net), []
        images, validation = (ImagePairs(train_h5, part) for part in ("training", "validation"))  # type: ignore

        def of_phase(trained: Any, recipe: Recipe, scales: list[int], phase: int) -> Any:
            def stop(step: int) -> None:
                if (phase, step) == stop_at:
                    raise Stopped

            validate = validator(validation, scales, 16, torch.device("cpu"))
            curve = fit(
                trained,
                patches_of(images, scales, recipe, seed=1 + phase),
                recipe,
                TrainingRun(
                    name=f"phase {phase}",
                    device=torch.device("cpu"),
                    precision=torch.float32,
                    compiled=False,
                    checkpoint=tmp_path / f"{phase}.safetensors",
                    checkpoint_every=2,
                    validate=with_smallest(validate) if phase else validate,
                    validate_every=2,
                    before_step=stop,
                ),
            )
            seen.append((phase, scales, recipe, trained))
            return curve

        curve = shrink(whole, recipe_of(phases, **changes), 7, of_phase)
        for checkpoint in tmp_path.glob("*.safetensors"):
            checkpoint.unlink()
        return whole, curve, seen

    return run


def test_phases_come_one_after_the_other(train: Callable[..., Any]) -> None:
    whole, curve, seen = train(PLAIN, PHASES)
    assert [(phase, scales) for phase, scales, _, _ in seen] == [(0, [4]), (1, [4]), (2, [4]), (3, [4]), (4, [2, 4])]
    assert [(row["phase"], row["step"]) for row in curve] == [
        *((0, step) for step in (2, 4)),
        *((1, step) for step in (6, 7)),
        *((2, step) for step in (9, 11, 12)),
        *((3, step) for step in (14, 16, 17)),
        *((4, step) for step in (19, 20)),
    ]
    assert ["smallest" in row for row in curve] == [row["phase"] > 0 for row in curve]
    _, _, first, largest = seen[0]
    assert largest is whole
    assert first == recipe_of(PHASES)
    taught = {"scale": (4,), "depth": (2,), "width": (8,)}
    for (_, _, recipe, net), phase in zip(seen[1:], phases_of(PHASES), strict=True):
        taught[phase.dimension] = tuple(phase.choices)
        assert net.choices == taught
        assert (recipe.steps, recipe.accumulate, recipe.batch) == (phase.steps, phase.subnets, 4)
        assert net.drawn == phase.steps * phase.subnets, "each part of a batch has its own subnet"


@pytest.mark.parametrize(
    ("net", "phases", "changes"),
    [
        (PLAIN, PHASES, {}),
        (MOBILE, OF_MOBILE, {}),
        (PLAIN | {"tails": [1, 2]}, SANDWICHES, {"batch": 6, "sandwich": True}),
    ],
    ids=["plain", "mobile", "sandwich"],
)
def test_a_training_that_was_stopped_within_a_phase_ends_at_the_same_weights(
    train: Callable[..., Any], net: Any, phases: Any, changes: Any
) -> None:
    straight, curve, _ = train(net, phases, **changes)
    with pytest.raises(Stopped):
        train(net, phases, stop_at=(3, 2), **changes)
    resumed, resumed_curve, _ = train(net, phases, **changes)
    assert resumed_curve == curve
    theirs, untrained = resumed.state_dict(), net_of(net).state_dict()
    for key, tensor in straight.state_dict().items():
        assert torch.equal(tensor, theirs[key]), key
        assert not torch.equal(tensor, untrained[key]), f"{key} was not trained"


def test_channels_are_sorted_before_a_phase_that_cuts_them_off() -> None:
    whole, found = net_of(PLAIN), []

    @torch.no_grad()
    def of_phase(net: Any, recipe: Recipe, scales: list[int], phase: int) -> Any:
        weight = whole.convs[1].weight  # what it takes in are the channels of the first convolution
        found.append(weight.abs().sum((0, 2, 3)))
        importance = torch.tensor([4.0, 6.0, 1.0, 3.0, 8.0, 5.0, 2.0, 7.0])
        weight.copy_(importance[:, None, None].expand_as(weight) / weight[:, 0].numel())
        return [{"step": 1}]

    shrink(whole, recipe_of(PHASES), 7, of_phase)
    _, of_depth, of_width, of_more_width, of_scale = (importance.round().tolist() for importance in found)
    assert of_depth == of_scale == [4, 6, 1, 3, 8, 5, 2, 7]
    assert of_width == [8, 7, 6, 5, 4, 3, 2, 1]
    assert of_more_width == [8, 6, 5, 4, 3, 1, 2, 7], "beyond 6 channels they were cut off before, and stay so"


def test_without_a_phase_of_scales_all_are_trained_from_the_start(train: Callable[..., Any]) -> None:
    _, curve, seen = train(PLAIN | {"widths": [8]}, PHASES[:1])
    assert [scales for _, scales, _, _ in seen] == [[2, 4]] * 2
    assert all({"psnr_y_x2", "psnr_y_x4"} <= row.keys() for row in curve)


@pytest.mark.parametrize(
    ("net", "phases", "said"),
    [
        (
            PLAIN,
            [PHASES[0] | {"choices": [1, 3]}, *PHASES[1:]],
            r"train\.shrink\[0\]\.choices of depth are \[1, 3\], but the net has \[1, 2\]; choose among these",
        ),
        (PLAIN, [*PHASES, OF_MOBILE[0]], r"train\.shrink\[4\]\.choices of kernel are \[3, 5\], but the net has \[\];"),
        (PLAIN, PHASES[:2], r"no phase of train\.shrink trains the width \[4\]; add it, or take it out of net"),
        (PLAIN, PHASES[1:], r"no phase of train\.shrink trains the depth \[1\]"),
        (PLAIN, [*PHASES[:3], PHASES[3] | {"choices": [4]}], r"no phase of train\.shrink trains the scale \[2\]"),
        (MOBILE, OF_MOBILE[1:], r"no phase of train\.shrink trains the kernel \[3\]"),
    ],
)
def test_phases_that_do_not_fit_the_net_are_refused(net: Any, phases: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(net_of(net), recipe_of(phases))


def test_a_net_without_subnets_is_not_shrunk() -> None:
    with pytest.raises(UserError, match=r"train\.shrink is for a once-for-all net, and this model has no subnets"):
        check(build("abpn", [4], {}), recipe_of(PHASES))


def test_subnets_are_not_left_untrained() -> None:
    with pytest.raises(UserError, match=r"no phase of train\.shrink trains the depth \[1\]; add it"):
        check(net_of(PLAIN), Training.model_validate(RECIPE))
    check(net_of(PLAIN), Training.model_validate(RECIPE | {"start": {"file": "a.safetensors", "sha256": "0" * 8}}))


def shrinking(distil: float = 1.0, **choices: tuple[int, ...]) -> Shrinking:
    """Of a net whose ends are no longer zero, and its teacher the very same."""
    whole = net_of(PLAIN)
    for tail in whole.tails.values():
        torch.nn.init.normal_(tail.weight, std=0.05)
    everything = {"scale": (2, 4), "depth": (2,), "width": (8,)} | choices
    return Shrinking(whole, everything, 7, Distillation(copy.deepcopy(whole), [4], distil))


def test_the_penalty_is_the_distance_to_what_the_largest_net_makes() -> None:
    lr = pixels(2, 3, 8, 8)
    with torch.no_grad():
        same = shrinking()
        sr, penalty = same.at_scale(4).train()(lr)
        teacher = same.supernet.at_scale(4).train()(lr)
        assert torch.equal(sr, teacher)
        assert penalty == 0
        for distil in (0.5, 2.0):
            sr, penalty = shrinking(distil, width=(4,), depth=(1,)).at_scale(4).train()(lr)
            assert penalty == pytest.approx(distil * ((sr - teacher).abs().mean() / 255).item())
            assert penalty > 1e-4
        _, untaught = shrinking(width=(4,), depth=(1,)).at_scale(2).train()(lr)
        _, unweighted = shrinking(0.0, width=(4,), depth=(1,)).at_scale(4).train()(lr)
        assert untaught == unweighted == 0


def test_each_pass_takes_the_next_subnet_of_the_seed_and_eval_the_largest() -> None:
    lr, drawn = pixels(1, 3, 8, 8), []
    with torch.no_grad():
        for _ in range(2):
            net = shrinking(width=(4, 6, 8), depth=(1, 2))
            module = net.at_scale(4).train()
            drawn.append([module(lr)[0] for _ in range(6)])
            assert net.drawn == 6
            assert torch.equal(module.eval()(lr), net.supernet.at_scale(4).eval()(lr))
            assert net.drawn == 6
        assert all(torch.equal(one, other) for one, other in zip(*drawn, strict=True))
        assert len({sr.sum().item() for sr in drawn[0]}) >= 4
        smallest = net.supernet.subnet_module(net.supernet.smallest(4)).eval()(lr)
        assert torch.equal(net.smallest().at_scale(4).eval()(lr), smallest)
        first = {"scale": 4, "depth": 2} | {f"width{i + 1}": 6 for i in range(4)}
        early = shrinking(width=(6, 8)).smallest().at_scale(4).eval()(lr)
        assert torch.equal(early, net.supernet.subnet_module(first).eval()(lr)), "the smallest that was drawn so far"


def test_a_sandwich_trains_the_largest_the_smallest_and_random_subnets() -> None:
    whole = net_of(PLAIN)
    choices = {"scale": (2, 4), "depth": (1, 2), "width": (6, 8)}
    net = Shrinking(whole, choices, 7, Distillation(whole, [2, 4], 1.0, live=True), sandwich=4)
    trained = [net.next_at(scale) for scale in (2, 4) for _ in range(4)]
    for scale, (first, second, *others) in ((2, trained[:4]), (4, trained[4:])):
        assert first == whole.largest(scale)
        assert second == net.smallest_at(scale) != whole.smallest(scale)
        assert all(set(other.values()) <= {0, 1, 2, 4, 6, 8} and other["scale"] == scale for other in others)
    assert len({tuple(subnet.values()) for subnet in trained}) > 4


def test_in_a_sandwich_the_largest_net_teaches_as_it_is() -> None:
    whole, lr = net_of(PLAIN), pixels(2, 3, 8, 8)
    distillation = Distillation(whole, [2, 4], 2.0, live=True)
    with torch.no_grad():
        for tail in whole.tails.values():
            torch.nn.init.normal_(tail.weight, std=0.05)  # after the teacher was named
        teacher, sr = whole.at_scale(2).train()(lr), whole.subnet_module(whole.smallest(2)).train()(lr)
        penalty = distillation.loss(lr, sr, whole.smallest(2))
        assert penalty == pytest.approx(2 * ((sr - teacher).abs().mean() / 255).item())
        assert distillation.loss(lr, sr, whole.largest(2)) == 0, "the teacher itself learns from HR alone"


def test_a_sandwich_of_two_subnets_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shrink\[0\]\.subnets is 2; sandwich takes 3 or more"):
        recipe_of(PHASES[:1], sandwich=True)


def test_a_downscaler_is_trained_with_all_subnets() -> None:
    slim = {"entry": 4, "features": 8, "head": 8, "blocks": 1}
    spec = Downscaler.model_validate({"model": "car", "net": slim})
    joint = Joint(shrinking(width=(4,)), downscaling.build("car", [4], slim), spec)
    _, penalty = joint.at_scale(4).train()(pixels(1, 3, 32, 32))
    penalty.backward()
    assert penalty > 0
    assert joint.downscaler.kernels[-1].weight.grad.any()
    assert joint.smallest().at_scale(4).eval()(pixels(1, 3, 32, 32)).shape == (1, 3, 32, 32)
