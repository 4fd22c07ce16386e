"""Rules by which the tensors of a published net become those of ours, and what does not fit, in one sentence."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_src.errors import UserError
from pipeline_src.importing.reading.problems import shown

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """One tensor of the published net, and the tensors of ours that it becomes.

    Attributes:
        theirs: its name.
        ours: the names of ours.
        divided: returns the tensors that it becomes.
        shape: returns the shape that it must have, of the shapes of ours.
        optional: whether a file may lack it, because ours has the same by its construction.
    """

    theirs: str
    ours: tuple[str, ...]
    divided: Callable[[Tensor], Sequence[Tensor]]
    shape: Callable[[Sequence[Shape]], Shape]
    optional: bool = False


@dataclass(frozen=True)
class Rules:
    """All rules of a net.

    Attributes:
        rules: of every tensor that the net needs.
        unused: patterns of names that a file may have and no net uses, each matched with the whole name.
    """

    rules: list[Rule]
    unused: tuple[str, ...] = ()


class NotFittingError(UserError):
    """A file that does not hold the net that it was said to hold.

    Args:
        message: what does not fit.
        matched: how many of the names were found.
    """

    def __init__(self, message: str, matched: int) -> None:
        super().__init__(message)
        self.matched = matched


def copied(theirs: str, ours: str, factor: float = 1.0, optional: bool = False) -> Rule:
    """Return the rule of a tensor that is the same in ours, but for a factor."""
    return Rule(theirs, (ours,), lambda tensor: [tensor * factor], lambda shapes: shapes[0], optional)


def copies(theirs: str, ours: Sequence[str]) -> Rule:
    """Return the rule of a tensor that ours has several times."""
    return Rule(theirs, tuple(ours), lambda tensor: [tensor] * len(ours), lambda shapes: shapes[0])


def conv(theirs: str, ours: str, bias_factor: float = 1.0) -> list[Rule]:
    """Return the rules of a convolution: its weight, and its bias, which is multiplied by a factor."""
    return [copied(f"{theirs}.weight", f"{ours}.weight"), copied(f"{theirs}.bias", f"{ours}.bias", bias_factor)]


def mean_shift(theirs: str, ours: str, sign: int, pixel_range: float) -> list[Rule]:
    """Return the rules of the frozen layer that subtracts a mean colour (sign −1) or adds it.

    Ours is from pixels in 0..255 to 0..1, or back.

    Args:
        theirs: its name.
        ours: its name in ours.
        sign: −1 or 1.
        pixel_range: the largest value of the pixels that the published net takes, 1 or 255.
    """
    weight, bias = (1 / 255, 1 / pixel_range) if sign < 0 else (255.0, 255 / pixel_range)
    return [copied(f"{theirs}.weight", f"{ours}.weight", weight, optional=True),
            copied(f"{theirs}.bias", f"{ours}.bias", bias, optional=True)]  # fmt: skip


def pixel_range(tensors: Mapping[str, Tensor], shift: str, default: float) -> float:
    """Return 255 or 1, the largest value of a pixel to a published net, which its mean shift shows.

    Args:
        tensors: of the file.
        shift: name of the layer that subtracts the mean.
        default: the range if the file lacks that layer.
    """
    bias = tensors.get(f"{shift}.bias")
    if bias is None or not bias.numel():
        return default
    return 255.0 if bias.abs().max() > 1 else 1.0


def pixel_shuffled(theirs: str, ours: str, net: torch.nn.Module, bias_factor: float = 1.0) -> list[Rule]:
    """Return the rules of a convolution before torch's PixelShuffle.

    Its output channels are in the order colour·block² + phase, and ours in the order phase·colours + colour, of one
    convolution or of one for each phase.

    Args:
        theirs: its name.
        ours: the name of the :class:`pipeline_src.models.layers.Upscale` that it becomes.
        net: our net, in which that layer is.
        bias_factor: factor of the bias.
    """
    step = net.get_submodule(ours)
    phases, convs = int(step.upscale.block) ** 2, len(step.phases)  # type: ignore[union-attr, arg-type]

    def divided(tensor: Tensor) -> Sequence[Tensor]:
        by_phase = tensor.reshape(-1, phases, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
        return by_phase.chunk(convs)

    def shape(shapes: Sequence[Shape]) -> Shape:
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def names(leaf: str) -> tuple[str, ...]:
        return tuple(f"{ours}.phases.{index}.{leaf}" for index in range(convs))

    return [
        Rule(f"{theirs}.weight", names("weight"), divided, shape),
        Rule(f"{theirs}.bias", names("bias"), lambda bias: divided(bias * bias_factor), shape),
    ]


def applied(
    rules: Rules, tensors: Mapping[str, Tensor], net: Mapping[str, Tensor], subject: tuple[str, str]
) -> dict[str, Tensor]:
    """Return the state dict of our net.

    Args:
        rules: of the net.
        tensors: of the file.
        net: the state dict of our untrained net, of which shapes and the tensors that a file may lack are taken.
        subject: the file and the net, as the message names them.

    Raises:
        NotFittingError: if a tensor is missing, left over, of another shape, or not finite.
    """
    file, name = subject
    state = dict(net)
    known = [rule.theirs for rule in rules.rules]
    found = tensors.keys() & {*known}
    matched = len(found)
    left = [key for key in tensors if key not in found and not _matches(key, rules.unused)]

    def refuse(problem: str) -> NotFittingError:
        return NotFittingError(
            f"{file} does not fit {name}: {problem}; give another file, or another name by --as", matched
        )

    for rule in rules.rules:
        if rule.theirs in tensors:
            tensor = tensors[rule.theirs].float()
            wanted = rule.shape([tuple(net[ours].shape) for ours in rule.ours])
            if tensor.shape != wanted:
                raise refuse(f"{shown(rule.theirs)} is {_sizes(tensor.shape)}, but must be {_sizes(wanted)}")
            if not tensor.isfinite().all():
                raise refuse(f"{shown(rule.theirs)} has values that are not finite")
            state |= zip(rule.ours, rule.divided(tensor), strict=True)
        elif not rule.optional:
            raise refuse(
                f"it lacks {shown(rule.theirs)}, and the nearest name in it is {_nearest(rule.theirs, left or tensors)}"
            )
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise refuse(f"it has {shown(left[0])}{more} too, and the nearest name known is {_nearest(left[0], known)}")
    return state


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _nearest(name: str, names: Collection[str]) -> str:
    return shown(difflib.get_close_matches(name, names, 1, 0.0)[0])


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(str(length) for length in shape) or "a number"
