"""The training loop in this process: what a recipe says is what happens, and a stop changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline_src.data.hdf5 import ImagePairs
from pipeline_src.data.patches import Patches
from pipeline_src.errors import UserError
from pipeline_src.models import build
from pipeline_src.params import Recipe
from pipeline_src.training.loop import fit
from pipeline_src.training.setup import validator

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


class Stopped(Exception):
    """Stands for a power cut."""


@pytest.fixture
def train(train_h5: Path, tmp_path: Path) -> Train:
    """Train a net by a recipe, from the checkpoint of an earlier call if that was stopped."""

    def run(
        model: tuple[str, list[int], dict[str, Any]],
        stop_at: int = -1,
        start_from: Callable[[torch.nn.Module], None] = lambda net: None,
        **changes: Any,
    ) -> Any:
        recipe = Recipe.model_validate(RECIPE | changes)
        name, scales, net_arguments = model
        torch.manual_seed(1)
        net = build(name, scales, net_arguments)
        start_from(net)

        def stop(step: int) -> None:
            if step == stop_at:
                raise Stopped

        images = ImagePairs(train_h5, "training")
        how = {key: getattr(recipe, key) for key in ("patch", "patch_of", "batch", "augment")}
        curve = fit(
            net,
            Patches(images, scales, seed=1, **how),
            recipe,
            name="a training",
            device=torch.device("cpu"),
            precision=torch.float32,
            compiled=False,
            checkpoint=tmp_path / "checkpoint.safetensors",
            checkpoint_every=4,
            validate=validator(ImagePairs(train_h5, "validation"), scales, 24, torch.device("cpu")),
            validate_every=6,
            before_step=stop,
        )
        (tmp_path / "checkpoint.safetensors").unlink()
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
    assert curve == resumed_curve
    assert [row["step"] for row in curve] == [6, 12]


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


def test_a_net_at_bicubic_is_told_of(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    def collapse(net: torch.nn.Module) -> None:
        for parameter in net.parameters():
            torch.nn.init.zeros_(parameter)

    train(VDSR, start_from=collapse, steps=6)
    assert "does not learn: its validation at step 6 is bicubic's to four digits" in capsys.readouterr().err
    train(VDSR, steps=6)
    assert "does not learn" not in capsys.readouterr().err


def test_every_scale_has_its_figure_and_the_mean_is_of_them(train: Train) -> None:
    _, curve = train(VDSR)
    assert curve[-1]["psnr_y"] == pytest.approx((curve[-1]["psnr_y_x2"] + curve[-1]["psnr_y_x3"]) / 2)


def test_a_corrupt_or_foreign_checkpoint_is_one_sentence(train: Train, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(ABPN, stop_at=7)
    with pytest.raises(UserError, match="is a checkpoint of another net"):
        train(VDSR)
