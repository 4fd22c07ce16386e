"""The training loop in this process: what a recipe says is what happens, and a stop changes nothing."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted import Stopped, fitted
from small_net import calibrated

from pipeline_src.compression import quantization
from pipeline_src.config import Recipe
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.models import build
from pipeline_src.training import loop
from pipeline_src.training.session import patches_of
from pipeline_src.weights import load_tensors, save_tensors

RECIPE = {
    "steps": 12,
    "batch": 4,
    "patch": 12,
    "augment": ["hflip", "transpose"],
    "loss": "l1",
    "lr": 1e-3,
    "warmup": 2,
    "decay": "cosine",
}
ABPN = ("abpn", [3], {"channels": 8, "depth": 1})
ECDN_M = ("ecdn", [2, 3], {"mobile": True})
VDSR = ("vdsr", [2, 3], {"channels": 8, "depth": 4})

Train = Callable[..., tuple[Any, list[dict[str, float]]]]


@pytest.fixture
def train(train_h5: Path, tmp_path: Path) -> Train:
    """Train a net by a recipe, from the checkpoint of an earlier call if that was stopped."""

    def run(
        model: tuple[str, list[int], dict[str, Any]],
        stop_at: int | None = None,
        start_from: Callable[[torch.nn.Module], None] = lambda net: None,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        observe: Callable[[dict[str, float]], None] = lambda row: None,
        made: Callable[[Any], Any] = lambda net: net,
        **changes: Any,
    ) -> Any:
        recipe = Recipe.model_validate(RECIPE | changes)
        name, scales, net_arguments = model
        torch.manual_seed(1)
        net = made(build(name, scales, net_arguments))
        start_from(net)

        settings = {"precision": precision, "compiled": compiled, "validate_every": 6, "observe": observe}
        curve = fitted(net, recipe, scales, train_h5, tmp_path / "checkpoint.safetensors", stop_at, **settings)
        return net, curve

    return run


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[key]) for key, tensor in one.state_dict().items())


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (ABPN, {"ema": 0.9}),
        (
            ABPN,
            {"optimiser": "sgd", "lr": 0.1, "loss": "sse", "clip": 1e-3, "clip_by": "element", "weight_decay": 1e-4},
        ),
        (VDSR, {"accumulate": 2, "decay": 0.5, "decay_every": 5, "patch": 36, "patch_of": "hr"}),
        (ECDN_M, {"ema": 0.9, "clip": 10.0, "loss": "smooth_l1", "batch": 2}),
    ],
    ids=["adam-ema", "sgd-clipped", "vdsr-accumulated", "ecdn_m-batch-norm"],
)
def test_a_training_that_was_stopped_ends_at_the_same_weights(
    train: Train, model: Any, changes: dict[str, Any]
) -> None:
    straight, curve = train(model, **changes)
    with pytest.raises(Stopped):
        train(model, stop_at=7, **changes)
    resumed, resumed_curve = train(model, **changes)
    assert equal(straight, resumed)
    assert repr(curve) == repr(resumed_curve), "with the columns in the same order"
    assert [row["step"] for row in curve] == [6, 12]


def test_a_training_of_int8_that_was_stopped_ends_at_the_same_state(train: Train) -> None:
    def quantised(net: Any) -> Any:
        net = calibrated(net)
        quantization.begin_qat(net)
        return net

    straight, curve = train(ABPN, made=quantised)
    with pytest.raises(Stopped):
        train(ABPN, made=quantised, stop_at=7)
    resumed, resumed_curve = train(ABPN, made=quantised)
    assert equal(straight, resumed)
    assert repr(curve) == repr(resumed_curve)


@pytest.mark.parametrize("wrong", [{}, {"progress": "{}"}, {"progress": '{"step": "4"}'}, {"progress": "cut sh"}])
def test_a_checkpoint_that_does_not_say_how_far_it_is_is_told(
    train: Train, tmp_path: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(Stopped):
        train(ABPN, stop_at=7)
    checkpoint = tmp_path / "checkpoint.safetensors"
    save_tensors(checkpoint, load_tensors(checkpoint)[0], wrong)
    with pytest.raises(UserError, match=r"is a checkpoint of another net .*; delete it to start again") as error:
        train(ABPN)
    assert "\n" not in str(error.value)


def test_an_observer_gets_every_point_once_after_a_stop_too(train: Train) -> None:
    straight: list[dict[str, float]] = []
    stopped: list[dict[str, float]] = []
    resumed: list[dict[str, float]] = []
    observed, curve = train(ABPN, observe=straight.append)
    with pytest.raises(Stopped):
        train(ABPN, stop_at=7, observe=stopped.append)
    train(ABPN, observe=resumed.append)
    assert resumed == straight, "the new observer is told what was before the checkpoint"
    assert stopped == straight[: len(stopped)], "they come while the training runs"
    assert [row for row in straight if "psnr_y" in row] == curve
    losses = [row["train_loss"] for row in straight if "train_loss" in row]
    assert [row["step"] for row in straight if "train_loss" in row] == [*range(1, 13)]
    assert curve[0]["loss"] == pytest.approx(sum(losses[:6]) / 6)
    assert curve[1]["loss"] == pytest.approx(sum(losses[6:]) / 6)
    assert equal(observed, train(ABPN)[0]), "watching changes no weight"


def test_the_points_of_a_long_training_are_few(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    each_step: list[dict[str, float]] = []
    few: list[dict[str, float]] = []
    train(ABPN, observe=each_step.append, steps=11)
    monkeypatch.setattr(loop, "LOSS_POINTS", 3)
    train(ABPN, observe=few.append, steps=11)
    points = [row for row in few if "train_loss" in row]
    assert [row["step"] for row in points] == [4, 8, 11]
    losses = [row["train_loss"] for row in each_step if "train_loss" in row]
    means = [sum(losses[start:stop]) / (stop - start) for start, stop in ((0, 4), (4, 8), (8, 11))]
    assert [row["train_loss"] for row in points] == pytest.approx(means)


def by_hand(train_h5: Path, model: Any, changes: dict[str, Any], optimiser: Any, loss: Any, rate: Any) -> Any:
    """What ``fit`` is to do, in so many words: (the net, the average of its weights)."""
    recipe = Recipe.model_validate(RECIPE | changes)
    torch.manual_seed(1)
    net = build(*model).train()
    average = {key: value.clone() for key, value in net.state_dict().items()}
    patches = patches_of(ImagePairs(train_h5, "training"), model[1], recipe, seed=1)
    optimiser = optimiser([p for p in net.parameters() if p.requires_grad])
    for step in range(recipe.steps):
        batch = patches.at(step)
        lr, hr = (torch.tensor(images).permute(0, 3, 1, 2).float() for images in (batch.lr, batch.hr))
        optimiser.zero_grad()
        loss(net.at_scale(batch.scale)(lr) / 255, hr / 255).backward()
        optimiser.param_groups[0]["lr"] = rate(step)
        if recipe.clip_by == "element":
            torch.nn.utils.clip_grad_value_(net.parameters(), recipe.clip / rate(step))
        elif recipe.clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
        optimiser.step()
        kept = 0.0 if step == 0 else min(recipe.ema, step / (9 + step)) if recipe.ema else 0.0
        for key, value in net.state_dict().items():
            trained = key in dict(net.named_parameters())
            average[key] = kept * average[key] + (1 - kept) * value if trained else value.clone()
    net.load_state_dict(average)
    return net


def luma_error(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    y_of_rgb = torch.tensor([65.481, 128.553, 24.966]).reshape(1, 3, 1, 1) / 255
    return ((sr - hr) * y_of_rgb).sum(1).square().sum()


def cosine(step: int) -> float:
    return 1e-3 * min(1, (step + 1) / 2) * 0.5 * (1 + math.cos(math.pi * step / 12))


@pytest.mark.parametrize(
    ("model", "changes", "optimiser", "loss", "rate"),
    [
        (ABPN, {"ema": 0.3}, lambda p: torch.optim.Adam(p, betas=(0.9, 0.999)), torch.nn.L1Loss(), cosine),
        (
            VDSR,
            {
                **{"optimiser": "sgd", "lr": 0.02, "decay": 0.1, "decay_every": 5, "warmup": 0, "momentum": 0.8},
                **{"loss": "sse", "accumulate": 2, "clip": 1e-3, "clip_by": "element", "weight_decay": 1e-2},
            },
            lambda p: torch.optim.SGD(p, 0.02, momentum=0.8, weight_decay=1e-2),
            luma_error,
            lambda step: 0.02 * 0.1 ** (step // 5),
        ),
        (
            ECDN_M,
            {"ema": 0.3, "clip": 0.05, "loss": "smooth_l1", "batch": 2},
            lambda p: torch.optim.Adam(p, betas=(0.9, 0.999)),
            torch.nn.SmoothL1Loss(),
            cosine,
        ),
    ],
    ids=["abpn", "vdsr", "ecdn_m"],
)
def test_the_recipe_is_what_happens(
    train: Train, train_h5: Path, model: Any, changes: dict[str, Any], optimiser: Any, loss: Any, rate: Any
) -> None:
    expected = by_hand(train_h5, model, changes, optimiser, loss, rate).state_dict()
    torch.manual_seed(1)
    before = build(*model).state_dict()
    found = train(model, **changes)[0].state_dict()
    # of all weights together: a bias before a batch norm has no gradient but rounding, which Adam makes steps of
    moved, wrong = (
        torch.cat([(one[key] - other[key]).flatten() for key in expected]).norm()
        for one, other in ((expected, before), (found, expected))
    )
    assert wrong <= 0.005 * moved


def test_convolutions_compute_in_the_precision(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    forward = torch.nn.Conv2d.forward

    def watched(self: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        y = forward(self, x)
        seen.add((self.training, y.dtype))
        return y

    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    _, curve = train(ABPN, precision=torch.bfloat16)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert curve[-1]["psnr_y"] == pytest.approx(train(ABPN)[1][-1]["psnr_y"], abs=0.1)


@pytest.mark.slow
def test_a_compiled_net_trains_to_the_same_weights(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    if not shutil.which("c++"):
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    compiled, _ = train(ABPN, compiled=True, ema=0.5)
    assert "does not work here" not in caplog.text
    plain, _ = train(ABPN, ema=0.5)
    for one, other in zip(compiled.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_net_that_cannot_be_compiled_trains_without(
    train: Train, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(module: Any) -> Any:
        raise RuntimeError("no compiler\nat all")

    plain, _ = train(ABPN)
    monkeypatch.setattr(torch, "compile", no_compiler)
    compiled, _ = train(ABPN, compiled=True)
    assert "torch.compile does not work here, so the training runs without it: no compiler\n" in caplog.text
    assert equal(plain, compiled)


def test_a_batch_in_parts_is_the_same_batch(train: Train) -> None:
    whole, _ = train(ABPN, optimiser="sgd", lr=1e-2)
    parts, _ = train(ABPN, optimiser="sgd", lr=1e-2, accumulate=4)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)


def test_the_average_of_the_weights_is_what_is_kept(train: Train) -> None:
    last, _ = train(ABPN)
    average, curve = train(ABPN, ema=0.9)
    assert not equal(last, average)
    nearly_last, _ = train(ABPN, ema=1e-9)
    for one, other in zip(last.parameters(), nearly_last.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
    assert curve[-1]["psnr_y"] != curve[-2]["psnr_y"]


def test_a_net_that_equals_bicubic_is_warned_of(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    def collapse(net: torch.nn.Module) -> None:
        for parameter in net.parameters():
            torch.nn.init.zeros_(parameter)

    train(VDSR, start_from=collapse, steps=6)
    assert "a training has stalled: validation at step 6 equals bicubic to four digits" in caplog.text
    caplog.clear()
    train(VDSR, steps=6)
    assert "has stalled" not in caplog.text


def test_every_scale_has_its_figure_and_the_mean_is_of_them(train: Train) -> None:
    _, curve = train(VDSR)
    assert curve[-1]["psnr_y"] == pytest.approx((curve[-1]["psnr_y_x2"] + curve[-1]["psnr_y_x3"]) / 2)


def test_a_corrupt_or_foreign_checkpoint_is_one_sentence(train: Train, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(ABPN, stop_at=7)
    with pytest.raises(UserError, match="is a checkpoint of another net"):
        train(VDSR)
