"""Progressive shrinking: teach a once-for-all net its subnets, from large to small (Cai et al., ICLR 2020)."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.config import Recipe, ShrinkPhase, Training
from pipeline_src.errors import UserError
from pipeline_src.metrics.validation import Row

Choices = dict[str, tuple[int, ...]]


class Shrinking(nn.Module):
    """A supernet in one phase of its training: each forward pass trains another sampled subnet.

    A step has ``accumulate`` passes, and each samples one subnet from ``choices`` (by dimension). ``distil`` times the
    mean absolute difference (pixels in 0..1) to the teacher's images is added to the loss, at the scales that the
    teacher was trained at (``taught``). ``drawn`` counts the sampled subnets, so that a resumed training continues the
    same sequence. In eval mode this is the largest subnet.
    """

    def __init__(
        self, supernet: Any, choices: Choices, seed: int, teacher: Any, taught: Sequence[int], distil: float
    ) -> None:
        super().__init__()
        self.supernet, self.choices, self.seed, self.distil, self.taught = supernet, choices, seed, distil, taught
        self.description = supernet.description
        self.teacher = [teacher]  # a list hides it from torch, so that it is neither trained nor saved
        self.drawn: Tensor
        self.register_buffer("drawn", torch.zeros(()))

    def at_scale(self, scale: int) -> nn.Module:
        """Return a module that, in train mode, samples the next subnet and also returns its distillation loss."""
        return _NextSubnet(self, scale)

    def smallest(self) -> "_SmallestSubnet":
        """Return the smallest subnet of the phase's choices, in the form that a validation takes."""
        return _SmallestSubnet(self)


class _NextSubnet(nn.Module):
    def __init__(self, phase: Shrinking, scale: int) -> None:
        super().__init__()
        self.phase, self.scale = (
            [phase],
            scale,
        )  # in a list, so that train() and eval() stop here
        self.description = phase.description

    def forward(self, lr: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        (phase,) = self.phase
        if not self.training:
            sr: Tensor = phase.supernet.at_scale(self.scale).eval()(lr)
            return sr
        generator = random.Random(f"{phase.seed} {int(phase.drawn)}")  # noqa: S311 (the same on every process)
        phase.drawn += 1
        sr = phase.supernet.subnet_module(phase.supernet.sample_subnet(generator, self.scale, phase.choices)).train()(
            lr
        )
        if not phase.distil or self.scale not in phase.taught:
            return sr, sr.new_zeros(())
        (teacher,) = phase.teacher
        with torch.no_grad():
            wanted = teacher.at_scale(self.scale).train()(lr)
        return sr, phase.distil * functional.l1_loss(sr.float(), wanted.float()) / 255


class _SmallestSubnet(nn.Module):
    def __init__(self, phase: Shrinking) -> None:
        super().__init__()
        self.phase, self.description = phase, phase.description

    def at_scale(self, scale: int) -> nn.Module:
        supernet = self.phase.supernet
        least = {dimension: min(choices) for dimension, choices in self.phase.choices.items()}
        subnet = supernet.sample_subnet(random.Random(0), scale, {key: (choice,) for key, choice in least.items()})  # noqa: S311
        subnet_module: nn.Module = supernet.subnet_module(subnet)
        return subnet_module


def with_smallest(validate: Callable[[Any], Row]) -> Callable[[Any], Row]:
    """Return a validation of the largest subnet that also reports ``smallest``, the smallest subnet's PSNR Y."""
    return lambda phase: validate(phase) | {"smallest": validate(phase.smallest())["psnr_y"]}


def shrink(
    supernet: Any,
    recipe: Recipe,
    phases: Sequence[ShrinkPhase],
    distil: float,
    seed: int,
    train: Callable[[Any, Recipe, list[int], int], list[Row]],
) -> list[Row]:
    """Train the largest subnet and then phase after phase, in place, and return the curves joined.

    Before a phase adds widths, channels are sorted so that the least important ones are cut off. Until a phase of the
    dimension scale, only the largest scale is trained.

    Args:
        supernet: the net to train.
        recipe: the recipe of the largest subnet; a phase replaces steps, lr and warmup.
        phases: the phases in their order.
        distil: weight of the distillation loss.
        seed: seed of the sampled subnets.
        train: trains a net by a recipe at the given scales as phase number n (0: the largest subnet) and returns the
            curve.
    """
    choices: Choices = {dimension: of_net[-1:] for dimension, of_net in supernet.choices().items()}
    if not any(phase.dimension == "scale" for phase in phases):
        choices["scale"] = supernet.choices()["scale"]
    scales = [*choices["scale"]]
    curve = [row | {"phase": 0} for row in train(supernet, recipe, scales, 0)]
    teacher, before = copy.deepcopy(supernet), recipe.steps
    for number, phase in enumerate(phases, 1):
        if phase.dimension == "width":
            supernet.sort_channels(min(choices["width"]))
        choices[phase.dimension] = tuple(sorted(phase.choices))
        net = Shrinking(supernet, dict(choices), seed + number, teacher, scales, distil)
        recipe_of_phase = recipe.model_copy(
            update={"accumulate": phase.subnets, "start": None} | phase.model_dump(include={"steps", "lr", "warmup"})
        )
        rows = train(net, recipe_of_phase, [*choices["scale"]], number)
        curve += [row | {"phase": number, "step": before + row["step"]} for row in rows]
        before += phase.steps
    return curve


def check(supernet: Any, recipe: Training) -> None:
    """Raise UserError if a phase has choices that the net lacks, or if some choices would never be trained."""
    phases = recipe.shrink
    if not hasattr(supernet, "genes"):
        if phases:
            raise UserError("train.shrink is for a once-for-all net, and this model has no subnets; remove it")
        return
    if recipe.start and not phases:
        return
    untrained = supernet.choices()
    for number, phase in enumerate(phases):
        available = supernet.choices().get(phase.dimension, ())
        if not {*phase.choices} <= {*available}:
            raise UserError(
                f"train.shrink[{number}].choices of {phase.dimension} are {phase.choices}, but the net has "
                f"{list(available)}; choose among these"
            )
        untrained[phase.dimension] = tuple(
            choice for choice in untrained[phase.dimension] if choice not in phase.choices
        )
    for dimension, remaining in untrained.items():
        largest = supernet.choices()[dimension][-1:]
        if missing := [choice for choice in remaining if (choice,) != largest]:
            if dimension == "scale" and not any(phase.dimension == "scale" for phase in phases):
                continue  # then the largest net is trained at all scales from the start
            raise UserError(f"no phase of train.shrink trains the {dimension} {missing}; add it, or take it out of net")
