"""Progressive shrinking: train the subnets of a once-for-all net, from large to small (Cai et al., ICLR 2020)."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.config import Recipe, ShrinkPhase, Training
from pipeline_src.errors import UserError
from pipeline_src.metrics.validation import Row
from pipeline_src.models import SuperResolutionNet

if TYPE_CHECKING:  # or every system would depend on the code of once-for-all nets
    from pipeline_src.models.once_for_all.supernet import Subnet, Supernet

Choices = dict[str, tuple[int, ...]]  # by dimension: kernel, depth, width, scale


@dataclass(frozen=True)
class Distillation:
    """The largest net as a teacher of its subnets.

    It is not a module, and so the teacher is neither trained nor saved with the net that has this.

    Attributes:
        teacher: a copy of the supernet at the end of the training of its largest subnets, or the supernet itself.
        scales: scales that the teacher was trained at; there is no distillation at others.
        weight: factor of the distillation loss.
        live: whether the teacher is the supernet itself, whose largest subnets do not learn from themselves.
    """

    teacher: "Supernet"
    scales: Sequence[int]
    weight: float
    live: bool = False

    def loss(self, lr: Tensor, sr: Tensor, subnet: "Subnet") -> Tensor:
        """Return the weighted mean absolute difference to the teacher's images, of pixels in 0..1.

        Args:
            lr: LR images, N×3×H×W in 0..255.
            sr: the images of a subnet, N×3×(scale·H)×(scale·W) in 0..255.
            subnet: its genes.

        Returns:
            A scalar; 0 where there is no distillation.
        """
        scale = subnet["scale"]
        if not self.weight or scale not in self.scales or (self.live and subnet == self.teacher.largest(scale)):
            return sr.new_zeros(())
        with torch.no_grad():
            target = self.teacher.at_scale(scale).train()(lr)
        return self.weight * functional.l1_loss(sr.float(), target.float()) / 255


class Shrinking(nn.Module):
    """A supernet in one phase of its training: each forward pass trains the next sampled subnet.

    In eval mode it is the largest subnet. A step of training has ``accumulate`` passes, each with a subnet of its own.

    Args:
        supernet: the net to train.
        choices: the choices from which subnets are sampled.
        seed: seed of the sampled subnets.
        distillation: what is added to the loss.
        sandwich: the number of subnets in a step of which the first is the largest and the second the smallest (Yu and
            Huang, ICCV 2019, arXiv 1903.05134); 0 if all are random.

    Attributes:
        drawn: the number of subnets so far; a buffer, so that a resumed training continues the same sequence.
    """

    drawn: Tensor

    def __init__(
        self, supernet: "Supernet", choices: Choices, seed: int, distillation: Distillation, sandwich: int = 0
    ) -> None:
        super().__init__()
        self.supernet, self.choices, self.seed, self.distillation = supernet, choices, seed, distillation
        self.sandwich = sandwich
        self.description = supernet.description
        self.register_buffer("drawn", torch.zeros(()))

    def at_scale(self, scale: int) -> nn.Module:
        """Return a module that, in train mode, trains the next subnet and also returns its distillation loss."""
        return _NextSubnet(self, scale)

    def smallest(self) -> "_SmallestSubnet":
        """Return the smallest subnet of the phase's choices, as a net that can be validated."""
        return _SmallestSubnet(self)

    def largest_at(self, scale: int) -> nn.Module:
        """Return the largest subnet of a scale, in eval mode."""
        return self.supernet.at_scale(scale).eval()

    def smallest_at(self, scale: int) -> "Subnet":
        """Return the smallest subnet of a scale that the phase's choices allow."""
        smallest = {dimension: (min(choices),) for dimension, choices in self.choices.items()}
        return self.supernet.sample_subnet(random.Random(0), scale, smallest)  # noqa: S311

    def next_at(self, scale: int) -> "Subnet":
        """Return the subnet of a scale that is trained next."""
        drawn = int(self.drawn)
        self.drawn += 1
        position = drawn % self.sandwich if self.sandwich else -1
        if position == 0:
            return self.supernet.largest(scale)
        if position == 1:
            return self.smallest_at(scale)
        # The generator is made of the count alone, because every process of a training has to sample the same subnet.
        generator = random.Random(f"{self.seed} {drawn}")  # noqa: S311
        return self.supernet.sample_subnet(generator, scale, self.choices)


class _NextSubnet(nn.Module):
    def __init__(self, phase: Shrinking, scale: int) -> None:
        super().__init__()
        # Methods instead of the modules themselves, which would follow this one into train or eval mode.
        self._largest_at, self._next_at, self._module = phase.largest_at, phase.next_at, phase.supernet.subnet_module
        self._distillation, self.scale = phase.distillation, scale
        self.description = phase.description

    def forward(self, lr: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return SR images of LR images, and in train mode the distillation loss."""
        if not self.training:
            largest: Tensor = self._largest_at(self.scale)(lr)
            return largest
        subnet = self._next_at(self.scale)
        sr: Tensor = self._module(subnet).train()(lr)
        return sr, self._distillation.loss(lr, sr, subnet)


class _SmallestSubnet(nn.Module):
    def __init__(self, phase: Shrinking) -> None:
        super().__init__()
        self.phase, self.description = phase, phase.description

    def at_scale(self, scale: int) -> nn.Module:
        """Return the smallest subnet of a scale."""
        return self.phase.supernet.subnet_module(self.phase.smallest_at(scale))


@runtime_checkable
class Shrinkable(SuperResolutionNet, Protocol):
    """A net with a smallest subnet: a :class:`Shrinking`, or one that is trained together with a downscaler."""

    def smallest(self) -> SuperResolutionNet:
        """Return the smallest subnet, as a net that can be validated."""


def with_smallest(validate: Callable[[SuperResolutionNet], Row]) -> Callable[[SuperResolutionNet], Row]:
    """Return a validation of the largest subnet that also reports ``smallest``, the smallest subnet's PSNR Y."""

    def validate_both(net: SuperResolutionNet) -> Row:
        assert isinstance(net, Shrinkable)
        return validate(net) | {"smallest": validate(net.smallest())["psnr_y"]}

    return validate_both


def shrink(
    supernet: SuperResolutionNet,
    recipe: Training,
    seed: int,
    train: Callable[[SuperResolutionNet, Recipe, list[int], int], list[Row]],
) -> list[Row]:
    """Train the largest subnet and then phase after phase, in place, and return the curves joined.

    Before a phase adds widths, channels are sorted so that the least important ones are cut off. Until a phase of the
    dimension scale, only the largest scale is trained.

    Args:
        supernet: the net to train.
        recipe: the recipe of the largest subnet, of whose ``shrink`` each phase replaces steps, lr and warmup.
        seed: seed of the sampled subnets.
        train: trains a net by a recipe at the given scales as phase number n (0: the largest subnet) and returns the
            curve.
    """
    assert _is_supernet(supernet)  # see check
    phases = recipe.shrink
    choices: Choices = {dimension: all_choices[-1:] for dimension, all_choices in supernet.choices().items()}
    if not any(phase.dimension == "scale" for phase in phases):
        choices["scale"] = supernet.choices()["scale"]
    scales = [*choices["scale"]]
    curve = [row | {"phase": 0} for row in train(supernet, recipe, scales, 0)]
    if recipe.sandwich:
        distillation = Distillation(supernet, supernet.description.scales, recipe.distil, live=True)
    else:
        distillation = Distillation(copy.deepcopy(supernet), scales, recipe.distil)
    for number, phase in enumerate(phases, 1):
        if phase.dimension == "width":
            supernet.sort_channels(min(choices["width"]))
        choices[phase.dimension] = tuple(sorted(phase.choices))
        sandwich = phase.subnets if recipe.sandwich else 0
        net = Shrinking(supernet, dict(choices), seed + number, distillation, sandwich)
        phase_recipe = recipe.model_copy(
            update={"accumulate": phase.subnets, "start": None} | phase.model_dump(include={"steps", "lr", "warmup"})
        )
        rows = train(net, phase_recipe, [*choices["scale"]], number)
        curve += [row | {"phase": number, "step": steps_before(recipe, phases, number) + row["step"]} for row in rows]
    return curve


def steps_before(recipe: Recipe, phases: Sequence[ShrinkPhase], number: int) -> int:
    """Return the number of steps before phase ``number``, where 0 is the training of the largest subnet."""
    return recipe.steps + sum(phase.steps for phase in phases[: number - 1]) if number else 0


def check(net: SuperResolutionNet, recipe: Training) -> None:
    """Check that the phases of a recipe fit a net.

    Raises:
        UserError: if a phase has choices that the net lacks, if some choices would never be trained, or if there are
            phases and the net is no supernet.
    """
    phases = recipe.shrink
    if not _is_supernet(net):
        if phases:
            raise UserError("train.shrink is for a once-for-all net, and this model has no subnets; remove it")
        return
    if recipe.start and not phases:
        return
    all_choices = net.choices()
    for number, phase in enumerate(phases):
        available = all_choices.get(phase.dimension, ())
        if not {*phase.choices} <= {*available}:
            raise UserError(
                f"train.shrink[{number}].choices of {phase.dimension} are {phase.choices}, but the net has "
                f"{list(available)}; choose among these"
            )
    for dimension, choices in all_choices.items():
        trained = {choice for phase in phases if phase.dimension == dimension for choice in phase.choices}
        if dimension == "scale" and not trained:
            continue  # then the largest net is trained at all scales from the start
        if missing := [choice for choice in choices if choice not in trained and choice != choices[-1]]:
            raise UserError(f"no phase of train.shrink trains the {dimension} {missing}; add it, or take it out of net")


def _is_supernet(net: SuperResolutionNet) -> "TypeGuard[Supernet]":
    return hasattr(net, "genes")
