"""A recipe in torch: the loss, the optimiser, its learning rate at each step, the clipping of gradients."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_src.config import Recipe
from pipeline_src.models.layers import Y_OF_RGB

# On images in 0..1, as in the papers, so that their learning rates and clipping thresholds carry over.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "mse": functional.mse_loss,
    "sse": lambda sr, hr: functional.mse_loss(sr, hr, reduction="sum"),  # VDSR's: summed over the whole batch
}


def loss_between(sr: Tensor, hr: Tensor, loss: str, colour: str) -> Tensor:
    """Return the loss of SR against HR, float N×3×H×W in 0..255, on RGB or Y alone, as a scalar for images in 0..1."""
    sr, hr = sr.float() / 255, hr / 255
    if colour == "Y":
        weights = sr.new_tensor(Y_OF_RGB).view(1, 3, 1, 1)
        sr, hr = (sr * weights).sum(1), (hr * weights).sum(1)
    return LOSSES[loss](sr, hr)


def optimiser_of(net: nn.Module, recipe: Recipe, lr_factors: Mapping[str, float]) -> torch.optim.Optimizer:
    """Return Adam, or SGD with momentum; weight decay is added to the gradient in both, as in the papers' code.

    Each child of ``net`` that ``lr_factors`` names has a group of parameters of its own; ``factor`` of a group is what
    the learning rate of a step is multiplied with.
    """
    groups: list[dict[str, Any]] = [{"params": [], "factor": factor} for factor in (1.0, *lr_factors.values())]
    group_of = {child: index for index, child in enumerate(lr_factors, 1)}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups[group_of.get(name.split(".")[0], 0)]["params"].append(parameter)
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(
        groups, recipe.lr, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, foreach=True
    )


def lr_at(step: int, recipe: Recipe) -> float:
    """Return the learning rate of a step: linear warm-up from 0, then a decay in steps or along half a cosine to 0."""
    warmup = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.decay == "cosine":
        return warmup * recipe.lr * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return warmup * recipe.lr * recipe.decay ** (step // recipe.decay_every if recipe.decay_every else 0)


def clip_gradients(parameters: Sequence[nn.Parameter], recipe: Recipe, lr: float) -> None:
    """Limit gradients in place: their global norm to ``clip``, or each element to ±clip/lr (VDSR's adjustable form).

    The adjustable form bounds what a step can change, so the limit widens as the learning rate falls.
    """
    if recipe.clip is None:
        return
    if recipe.clip_by == "norm":
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
    else:
        nn.utils.clip_grad_value_(parameters, recipe.clip / lr)
