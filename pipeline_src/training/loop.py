"""The one training loop: any net, any recipe, one process or several, exact resume."""

import copy
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from pipeline_src.data.patches import Batch, Patches
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.params import SCRATCH, Recipe
from pipeline_src.training import workers as processes
from pipeline_src.training.optimisation import clip_gradients, loss_between, optimiser_of, rate_at
from pipeline_src.training.weights import load_tensors, save_tensors

Row = dict[str, float]

PACKAGE = Path(__file__).parents[1]
CODE = ("compression", "data", "downscaling", "models", "training")  # what a half-trained net must not outlive
COLLAPSED = 0.005  # dB to bicubic: four digits of a PSNR
LOOK_EVERY = 10  # steps between looks at the loss: each look waits for the GPU


def checkpoint_path(name: str, identity: dict[str, Any]) -> Path:
    """Where a training keeps its resume checkpoint: another identity (recipe, seed, data …) or code is another file."""
    sources = sorted(file for folder in CODE for file in (PACKAGE / folder).rglob("*.py"))
    whole = identity | {"code": [sha256(source) for source in sources]}
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]
    return SCRATCH / "train" / f"{name}-{digest}.safetensors"


class Diverged(UserError):
    """The loss is not finite."""


@dataclass
class Progress:
    """All of a training that is not in its net or its optimiser."""

    step: int = 0
    curve: list[Row] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # since the last validation


def fit(
    net: Any,
    patches: Patches,
    recipe: Recipe,
    *,
    name: str,
    device: torch.device,
    precision: torch.dtype,
    compiled: bool,
    checkpoint: Path,
    checkpoint_every: int,
    validate: Callable[[nn.Module], Row],
    validate_every: int,
    before_step: Callable[[int], None] = lambda step: None,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> list[Row]:
    """Train ``net`` in place and return its curve: one row per validation with ``step``, ``loss`` and the metrics.

    ``net`` has ``description`` and ``at_scale(scale)``, a module from LR batches, or HR batches where the description
    says so, to SR batches, float NCHW in 0..255. With those it may give a scalar that is added to the loss.
    The scale and the patches of a step depend on the seed and the step alone and the learning rate on the step alone,
    so weights, optimiser moments, the average of the weights and the curve are the whole state. It is written to
    ``checkpoint`` every ``checkpoint_every`` steps and at the end; a training that was killed goes on from there to the
    very same weights. The caller removes the checkpoint when the weights are safe. ``net`` is in train mode at each
    step, whatever ``validate`` did. ``before_step`` is called with each step's number, after a resume too.
    ``rates``: children of the net whose learning rate is so many times that of the recipe.

    With ``recipe.ema`` it is the average of the weights that is validated, and that ``net`` holds in the end.
    Convolutions compute in ``precision``, the loss and the weights stay float32. Under ``torchrun`` every process takes
    its share of each batch; the first one validates and writes.

    A net that does not learn is told of on stderr: one that gives bicubic to four digits, or whose validation repeats
    the one before. Raises Diverged when the loss is not finite, and UserError when the checkpoint is corrupt or of
    another net.
    """
    workers = processes.join(device)
    if recipe.batch % (workers.size * recipe.accumulate):
        raise UserError(
            f"the batch of {name} is {recipe.batch}, which {workers.size} processes × accumulate {recipe.accumulate} "
            "cannot share evenly; choose a multiple"
        )
    # Channels-last: 1.4 times the speed of NCHW for these nets on a CPU, and what tensor cores want on a GPU.
    net.to(device, memory_format=torch.channels_last)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = optimiser_of(net, recipe, rates)
    average = AveragedModel(net, multi_avg_fn=_moving_average(recipe.ema)) if recipe.ema else None
    progress = _resume(checkpoint, net, optimiser, average) if checkpoint.exists() else Progress()
    at = workers.sum(torch.tensor([progress.step, progress.step**2], device=device)).tolist()
    if at[0] ** 2 != workers.size * at[1]:  # not all alike; and all have now read what the first may replace
        raise UserError(f"the processes of {name} are not at the same step; give all machines the same {checkpoint}")
    at_scale: dict[int, Any] = {scale: net.at_scale(scale) for scale in patches.scales}
    _to_train_mode(net, at_scale)
    if compiled:
        part = recipe.batch // (workers.size * recipe.accumulate)
        for scale, module in at_scale.items():
            side = patches.side(scale) * (scale if net.description.takes == "HR" else 1)
            example = torch.zeros(part, 3, side, side, device=device).to(memory_format=torch.channels_last)
            at_scale[scale] = _compiled(module, example, precision)
    steps = range(progress.step, recipe.steps)
    bar = tqdm(
        steps, name, initial=progress.step, total=recipe.steps, unit="step", mininterval=1, disable=not workers.first
    )
    recent: list[Tensor] = []
    for step, batch in zip(bar, _ahead(patches, steps, workers), strict=True):
        before_step(step)
        rate = rate_at(step, recipe)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        optimiser.zero_grad()
        recent.append(torch.zeros((), device=device))
        share = 1.0 if recipe.loss == "sse" else 1 / (recipe.accumulate * workers.size)
        for lr, hr in _parts(batch, recipe.accumulate, device):
            with _autocast(device, precision):
                sr, penalty = _with_penalty(at_scale[batch.scale](hr if net.description.takes == "HR" else lr))
            loss = share * loss_between(sr, hr, recipe.loss, net.description.colour)
            loss = loss + penalty / (recipe.accumulate * workers.size)
            loss.backward()
            recent[-1] += loss.detach()
        workers.sum_gradients(parameters)
        clip_gradients(parameters, recipe, rate)
        optimiser.step()
        if average:
            average.update_parameters(net)
        done = step + 1
        last = done == recipe.steps
        validating, saving = done % validate_every == 0 or last, done % checkpoint_every == 0 or last
        if len(recent) == LOOK_EVERY or validating or saving:
            progress.losses += _finite(workers.sum(torch.stack(recent)).tolist(), name, done, recipe)
            recent.clear()
        if validating or saving:
            workers.average_buffers(net)
        if validating and workers.first:
            metrics = validate(_final(net, average))
            _to_train_mode(net, at_scale)
            _tell_if_collapsed(bar, name, done, metrics, progress.curve, recipe)
            progress.curve.append({"step": done, "loss": sum(progress.losses) / len(progress.losses), **metrics})
            bar.set_postfix({key: f"{metrics[key]:.2f}" for key in ("psnr_y", "over_bicubic")})
        if validating:
            progress.losses.clear()
        if saving and workers.first:
            progress.step = done
            _save(checkpoint, net, optimiser, average, progress)
    if average:
        net.load_state_dict(_final(net, average).state_dict())
    if not progress.curve and workers.first:  # no step at all: the weights of recipe.start as they are
        progress.curve.append({"step": recipe.steps, **validate(net)})
    workers.wait()
    return progress.curve


def _autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def _with_penalty(given: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | float]:
    return given if isinstance(given, tuple) else (given, 0.0)


def _compiled(module: nn.Module, batch: Tensor, precision: torch.dtype) -> Any:
    """The module compiled; itself, and a word on stderr, where a step of a copy of it cannot be compiled."""
    try:
        trial: Any = torch.compile(copy.deepcopy(module))
        with _autocast(batch.device, precision):
            sr, penalty = _with_penalty(trial(batch))
        (sr.float().mean() + penalty).backward()
    except Exception as error:  # whatever a compiler, its headers or its backend may raise
        reason = str(error).strip().splitlines()[0]
        print(f"torch.compile does not work here, so the training runs without it: {reason}", file=sys.stderr)
        return module
    return torch.compile(module)


def _moving_average(share: float) -> Callable[[Any, Any, Tensor | int], None]:
    def update(averages: Any, weights: Any, count: Tensor | int) -> None:
        steps = int(count)
        kept = min(share, (1 + steps) / (10 + steps))  # short at first, or it would be of the first, random weights
        torch._foreach_lerp_(averages, weights, 1 - kept)

    return update


def _ahead(patches: Patches, steps: range, workers: processes.Workers) -> Iterator[Batch]:
    """The share of this process in the batches of ``steps``, made by a thread while the step before is computed."""
    with ThreadPoolExecutor(1) as maker:
        waiting = [maker.submit(patches.at, step, workers.rank, workers.size) for step in steps[:2]]
        for step in steps:
            yield waiting.pop(0).result()
            if step + 2 in steps:
                waiting.append(maker.submit(patches.at, step + 2, workers.rank, workers.size))


def _to_train_mode(net: nn.Module, at_scale: dict[int, Any]) -> None:
    for module in (net, *at_scale.values()):  # what at_scale made is not part of the net
        module.train()


def _parts(batch: Batch, parts: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """LR and HR of each of ``parts`` equal parts of a batch, float NCHW in channels-last order, which NHWC is."""
    whole = [torch.from_numpy(pixels) for pixels in (batch.lr, batch.hr)]
    if device.type == "cuda":
        whole = [pixels.pin_memory().to(device, non_blocking=True) for pixels in whole]
    for pair in zip(*(pixels.chunk(parts) for pixels in whole), strict=True):
        yield tuple(pixels.permute(0, 3, 1, 2).float() for pixels in pair)


def _finite(losses: list[float], name: str, done: int, recipe: Recipe) -> list[float]:
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            step = done - len(losses) + index
            raise Diverged(f"the loss of {name} is {loss} at step {step}; lower its lr ({recipe.lr:g})")
    return losses


def _final(net: nn.Module, average: AveragedModel | None) -> nn.Module:
    """What the training is for: the average of the weights if there is one, with the statistics of the net itself."""
    if average is None:
        return net
    for mine, its in zip(average.module.buffers(), net.buffers(), strict=True):
        mine.copy_(its)
    return average.module


def _tell_if_collapsed(bar: Any, name: str, done: int, metrics: Row, curve: list[Row], recipe: Recipe) -> None:
    trouble = ""
    if abs(metrics["over_bicubic"]) < COLLAPSED:
        trouble = f"its validation at step {done} is bicubic's to four digits: its residual has collapsed to zero"
    elif curve and curve[-1]["step"] > recipe.warmup and metrics.items() <= curve[-1].items():
        trouble = f"its validation at step {done} is that of step {curve[-1]['step']:g} to the last digit"
    if trouble:
        bar.write(
            f"{name} does not learn: {trouble}; if that goes on, lower its lr, or raise its warmup", file=sys.stderr
        )


def _save(
    path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: AveragedModel | None, progress: Progress
) -> None:
    tensors = {f"net.{key}": value for key, value in net.state_dict().items()}
    if average:
        tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if value is not None}
    save_tensors(path, tensors, vars(progress))


def _resume(path: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: AveragedModel | None) -> Progress:
    tensors, progress = load_tensors(path)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
    try:
        net.load_state_dict({key.removeprefix("net."): v for key, v in tensors.items() if key.startswith("net.")})
        if average:
            prefix = "average."
            average.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        return Progress(**progress)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} is a checkpoint of another net ({error}); delete it to start again") from None
