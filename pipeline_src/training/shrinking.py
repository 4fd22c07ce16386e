"""Progressive shrinking: teach a once-for-all net its subnets, from large to small (Cai et al., ICLR 2020)."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.errors import UserError
from pipeline_src.params import Recipe, Shrink, Training
from pipeline_src.training.loop import Row

Choices = dict[str, tuple[int, ...]]


class Shrinking(nn.Module):
    """A once-for-all net as :func:`training.loop.fit` trains it in one phase: each pass takes another subnet.

    The subnets are drawn from ``choices``, by dimension, of a step's passes one each (``accumulate`` of its recipe).
    To the loss is added ``distil`` times the mean absolute difference, in 0..1, to what the ``teacher`` makes of the
    same LR images, at the scales that it was taught. ``drawn`` counts, so that a training that goes on draws on. In
    eval mode it is the largest net.
    """

    def __init__(self, whole: Any, choices: Choices, seed: int, teacher: Any, taught: Sequence[int], distil: float):
        super().__init__()
        self.whole, self.choices, self.seed, self.distil, self.taught = whole, choices, seed, distil, taught
        self.description = whole.description
        self.teacher = [teacher]  # in a list, so that it is no part of what is trained
        self.drawn: Tensor
        self.register_buffer("drawn", torch.zeros(()))

    def at_scale(self, scale: int) -> nn.Module:
        """In train mode the next subnet of this scale, with what is to be added to the loss."""
        return _Next(self, scale)

    def smallest(self) -> "_Smallest":
        """The smallest subnet that is drawn, at each scale; as a validation takes nets."""
        return _Smallest(self)


class _Next(nn.Module):
    def __init__(self, phase: Shrinking, scale: int) -> None:
        super().__init__()
        self.phase, self.scale = [phase], scale  # in a list: whether it trains is no matter of this module
        self.description = phase.description

    def forward(self, lr: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        (phase,) = self.phase
        if not self.training:
            sr: Tensor = phase.whole.at_scale(self.scale).eval()(lr)
            return sr
        chance = random.Random(f"{phase.seed} {int(phase.drawn)}")  # noqa: S311 (the same on every process)
        phase.drawn += 1
        sr = phase.whole.part(phase.whole.draw(chance, self.scale, phase.choices)).train()(lr)
        if not phase.distil or self.scale not in phase.taught:
            return sr, sr.new_zeros(())
        (teacher,) = phase.teacher
        with torch.no_grad():
            wanted = teacher.at_scale(self.scale).train()(lr)
        return sr, phase.distil * functional.l1_loss(sr.float(), wanted.float()) / 255


class _Smallest(nn.Module):
    def __init__(self, phase: Shrinking) -> None:
        super().__init__()
        self.phase, self.description = phase, phase.description

    def at_scale(self, scale: int) -> nn.Module:
        whole = self.phase.whole
        least = {dimension: min(choices) for dimension, choices in self.phase.choices.items()}
        subnet = whole.draw(random.Random(0), scale, {key: (choice,) for key, choice in least.items()})  # noqa: S311
        part: nn.Module = whole.part(subnet)
        return part


def with_smallest(validate: Callable[[Any], Row]) -> Callable[[Any], Row]:
    """A validation of the largest net that adds ``smallest``, the PSNR Y of the smallest subnet drawn so far."""
    return lambda phase: validate(phase) | {"smallest": validate(phase.smallest())["psnr_y"]}


def shrink(
    whole: Any,
    recipe: Recipe,
    phases: Sequence[Shrink],
    distil: float,
    seed: int,
    train: Callable[[Any, Recipe, list[int], int], list[Row]],
) -> list[Row]:
    """Train the largest net and then phase after phase, in place; the curves, one behind the other.

    ``train`` trains a net by a recipe at some scales, as the phase of a number (0: the largest net), and returns its
    curve. Before a phase adds widths, the channels that it will cut off are sorted to the end. The scales of the phases
    before one of the dimension scale are the largest alone.
    """
    choices: Choices = {key: its[-1:] for key, its in whole.choices().items()}
    if not any(phase.dimension == "scale" for phase in phases):
        choices["scale"] = whole.choices()["scale"]
    scales = [*choices["scale"]]
    curve = [row | {"phase": 0} for row in train(whole, recipe, scales, 0)]
    teacher, before = copy.deepcopy(whole), recipe.steps
    for number, phase in enumerate(phases, 1):
        if phase.dimension == "width":
            whole.sort_channels(min(choices["width"]))
        choices[phase.dimension] = tuple(sorted(phase.choices))
        net = Shrinking(whole, dict(choices), seed + number, teacher, scales, distil)
        its = recipe.model_copy(
            update={"accumulate": phase.subnets, "start": None} | phase.model_dump(include={"steps", "lr", "warmup"})
        )
        rows = train(net, its, [*choices["scale"]], number)
        curve += [row | {"phase": number, "step": before + row["step"]} for row in rows]
        before += phase.steps
    return curve


def check(whole: Any, recipe: Training) -> None:
    """UserError if a phase has what the net has not, or if subnets would be left that nothing has trained."""
    phases = recipe.shrink
    if not hasattr(whole, "genes"):
        if phases:
            raise UserError("train.shrink is for a once-for-all net, and this model has no subnets; remove it")
        return
    if recipe.start and not phases:
        return
    left = whole.choices()
    for number, phase in enumerate(phases):
        there = whole.choices().get(phase.dimension, ())
        if not {*phase.choices} <= {*there}:
            raise UserError(
                f"train.shrink[{number}].choices of {phase.dimension} are {phase.choices}, but the net has "
                f"{list(there)}; choose among these"
            )
        left[phase.dimension] = tuple(choice for choice in left[phase.dimension] if choice not in phase.choices)
    for key, never in left.items():
        largest = whole.choices()[key][-1:]
        if untaught := [choice for choice in never if (choice,) != largest]:
            if key == "scale" and not any(phase.dimension == "scale" for phase in phases):
                continue  # then the largest net is trained at all scales from the start
            raise UserError(f"no phase of train.shrink trains the {key} {untaught}; add it, or take it out of net")
