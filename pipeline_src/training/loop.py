"""The one training loop: any net, any recipe, one process or several, exact resume."""

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from pydantic import BaseModel, NonNegativeInt
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline_src.config import Recipe
from pipeline_src.datasets.patches import Batch, Patches
from pipeline_src.errors import UserError
from pipeline_src.metrics.validation import Row
from pipeline_src.models import SuperResolutionNet
from pipeline_src.progress import progress_bar
from pipeline_src.training.optimisation import clip_gradients, loss_between, lr_at, optimiser_of
from pipeline_src.training.workers import Workers, join
from pipeline_src.weights import load_tensors, restore, save_tensors

if TYPE_CHECKING:
    from tqdm import tqdm

COLLAPSED = 0.005  # dB from bicubic: equal to four digits of a PSNR
LOSSES_READ_EVERY = 10  # steps: reading a loss waits for the GPU
LOSS_POINTS = 200  # points at most of the curve of the training loss, which is observed and not returned

log = logging.getLogger(__name__)


class DivergedError(UserError):
    """The loss is not finite."""


@dataclass(frozen=True)
class TrainingRun:
    """Settings of a training besides its net, its patches and its recipe.

    Attributes:
        name: in the progress bar and in messages.
        device: the torch device to train on.
        precision: dtype that convolutions compute in; the loss and the weights stay float32.
        checkpoint: file of the resume checkpoint.
        checkpoint_every: steps between checkpoints.
        validate: from the net to its metrics on validation images.
        validate_every: steps between validations.
        compiled: whether to train with torch.compile, where it works.
        lr_factors: child module of the net → factor of the recipe's learning rate for its parameters.
        before_step: called with the number of each step, after a resume too.
        observe: called in the first process, while the training runs, with each row of its curve and, more often, with
            ``step`` and ``train_loss``, the mean loss since the last such point. After a resume it is first called with
            all that it was called with before the checkpoint, so a new observer gets the whole curve, each point once.
    """

    name: str
    device: torch.device
    precision: torch.dtype
    checkpoint: Path
    checkpoint_every: int
    validate: Callable[[SuperResolutionNet], Row]
    validate_every: int
    compiled: bool = False
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    before_step: Callable[[int], None] = lambda step: None
    observe: Callable[[Row], None] = lambda row: None


class Progress(BaseModel, extra="forbid", ser_json_inf_nan="constants"):
    """The state of a training that is neither in its net nor in its optimiser."""

    step: NonNegativeInt
    curve: list[dict[str, int | float]]
    losses: list[float]  # since the last validation
    loss_curve: list[dict[str, int | float]]  # of step and train_loss
    losses_of_point: list[float]  # since the last point of loss_curve

    @classmethod
    def none(cls) -> Self:
        """Return the state before the first step."""
        return cls(step=0, curve=[], losses=[], loss_curve=[], losses_of_point=[])


def fit(net: SuperResolutionNet, patches: Patches, recipe: Recipe, run: TrainingRun) -> list[Row]:
    """Train ``net`` in place and return its training curve.

    The scale and the patches of a step depend on the seed and the step alone and the learning rate on the step alone,
    so weights, optimiser moments, the running average of the weights and the curve are the whole state. It is written
    to ``run.checkpoint``; a training that was killed goes on from there to the very same weights. The caller removes
    the checkpoint once the weights are safe. With ``recipe.ema`` the running average of the weights is what is
    validated, and what ``net`` holds at the end. Under ``torchrun`` every process takes its share of each batch; the
    first one validates and writes.

    Warns on stderr when training has stalled: when the net equals bicubic, or a validation repeats the one before.

    Args:
        net: in train mode its modules may return, beside SR, a scalar that is added to the loss; they take HR batches
            if the description says so. It is in train mode at each step, whatever ``run.validate`` did.
        patches: the batches.
        recipe: loss, optimiser, schedule.
        run: everything else.

    Returns:
        One row per validation: ``step``, ``loss`` and the metrics.

    Raises:
        DivergedError: if the loss is not finite.
        UserError: if the checkpoint is corrupt or of another net, or the processes cannot share a batch evenly.
    """
    return _Loop(net, patches, recipe, run).train()


class _Loop:
    """A training between two steps."""

    def __init__(self, net: SuperResolutionNet, patches: Patches, recipe: Recipe, run: TrainingRun) -> None:
        assert isinstance(net, nn.Module)  # every net is one; a Protocol cannot say so
        self.net: SuperResolutionNet = net
        self.module: nn.Module = net
        self.patches, self.recipe, self.run = patches, recipe, run
        self.workers = join(run.device)
        if recipe.batch % (self.workers.size * recipe.accumulate):
            raise UserError(
                f"the batch of {run.name} is {recipe.batch}, which {self.workers.size} processes × accumulate "
                f"{recipe.accumulate} cannot share evenly; choose a multiple"
            )
        # Channels-last: 1.4 times the speed of NCHW for these nets on a CPU, and what tensor cores want on a GPU.
        net.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # unknown to torch's stubs
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimiser = optimiser_of(net, recipe, run.lr_factors)
        self.average = AveragedModel(net, multi_avg_fn=_moving_average(recipe.ema)) if recipe.ema else None
        self.progress = self._resume() if run.checkpoint.exists() else Progress.none()
        self._refuse_different_steps()
        self.takes_hr = net.description.takes == "HR"
        self.modules: dict[int, nn.Module] = {scale: net.at_scale(scale) for scale in patches.scales}
        self._set_train_mode()
        if run.compiled:
            self.modules = {scale: self._compiled(scale) for scale in self.modules}
        self.unread: list[Tensor] = []  # losses that are still on the device
        self.steps_of_point = -(-recipe.steps // LOSS_POINTS)  # rounded up

    def train(self) -> list[Row]:
        steps, first = range(self.progress.step, self.recipe.steps), self.workers.first
        for row in sorted([*self.progress.loss_curve, *self.progress.curve], key=lambda row: row["step"]):
            self._observe(row)
        bar = progress_bar(steps, self.run.name, "step", first, initial=steps.start, total=steps.stop)
        for step, batch in zip(bar, _prefetched(self.patches, steps, self.workers), strict=True):
            self.run.before_step(step)
            self._step(step, batch)
            self._after_step(step + 1, bar)
        if self.average:
            self.net.load_state_dict(self._final_net().state_dict())
        if not self.progress.curve and first:  # no step at all: the weights of recipe.start as they are
            self.progress.curve.append({"step": self.recipe.steps, **self.run.validate(self.net)})
            self._observe(self.progress.curve[-1])
        self.workers.wait()
        return self.progress.curve

    def _step(self, step: int, batch: Batch) -> None:
        recipe, device = self.recipe, self.run.device
        lr = lr_at(step, recipe)
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["factor"]
        self.optimiser.zero_grad()
        total = torch.zeros((), device=device)
        parts = recipe.accumulate * self.workers.size
        for lr_images, hr_images in _parts(batch, recipe.accumulate, device):
            with _autocast(device, self.run.precision):
                sr, penalty = _with_penalty(self.modules[batch.scale](hr_images if self.takes_hr else lr_images))
            loss = loss_between(sr, hr_images, recipe.loss, self.net.description.colour)
            loss = (1.0 if recipe.loss == "sse" else 1 / parts) * loss + penalty / parts
            loss.backward()
            total += loss.detach()
        self.unread.append(total)
        self.workers.sum_gradients(self.parameters)
        clip_gradients(self.parameters, recipe, lr)
        self.optimiser.step()
        if self.average:
            self.average.update_parameters(self.module)

    def _after_step(self, done: int, bar: "tqdm[int]") -> None:
        """Read losses, validate and save where it is time, after ``done`` steps."""
        last = done == self.recipe.steps
        validating = done % self.run.validate_every == 0 or last
        saving = done % self.run.checkpoint_every == 0 or last
        if len(self.unread) == LOSSES_READ_EVERY or validating or saving:
            self._read_losses(done)
        if validating or saving:
            self.workers.average_buffers(self.module)
        if validating:
            if self.workers.first:
                self._validate(done, bar)
            self.progress.losses.clear()
        if saving and self.workers.first:
            self.progress.step = done
            self._save()

    def _read_losses(self, done: int) -> None:
        losses = self.workers.sum(torch.stack(self.unread)).tolist()
        self.unread.clear()
        for step, loss in enumerate(losses, done - len(losses)):
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss of {self.run.name} is {loss} at step {step}; lower its lr ({self.recipe.lr:g})"
                )
        self.progress.losses += losses
        for step, loss in enumerate(losses, done - len(losses) + 1):
            self._add_to_loss_curve(step, loss)

    def _add_to_loss_curve(self, step: int, loss: float) -> None:
        recent = self.progress.losses_of_point
        recent.append(loss)
        if step % self.steps_of_point == 0 or step == self.recipe.steps:
            self.progress.loss_curve.append({"step": step, "train_loss": sum(recent) / len(recent)})
            recent.clear()
            self._observe(self.progress.loss_curve[-1])

    def _observe(self, row: Row) -> None:
        if self.workers.first:
            self.run.observe(row)

    def _validate(self, done: int, bar: "tqdm[int]") -> None:
        metrics, curve, losses = self.run.validate(self._final_net()), self.progress.curve, self.progress.losses
        self._set_train_mode()
        if problem := _stall(metrics, curve, self.recipe.warmup):
            log.warning(
                "%s has stalled: validation at step %d %s; if this goes on, lower its lr, or raise its warmup",
                *(self.run.name, done, problem),
            )
        curve.append({"step": done, "loss": sum(losses) / len(losses), **metrics})
        self._observe(curve[-1])
        bar.set_postfix({key: f"{metrics[key]:.2f}" for key in ("psnr_y", "over_bicubic")})

    def _final_net(self) -> SuperResolutionNet:
        """Return the averaged net, if there is an average, with the batch statistics of the net itself."""
        if self.average is None:
            return self.net
        for averaged, current in zip(self.average.module.buffers(), self.net.buffers(), strict=True):
            averaged.copy_(current)
        averaged_net = self.average.module
        assert isinstance(averaged_net, SuperResolutionNet)
        return averaged_net

    def _set_train_mode(self) -> None:
        for module in (self.module, *self.modules.values()):  # what at_scale made is not a child of the net
            module.train()

    def _compiled(self, scale: int) -> nn.Module:
        """Return the compiled module of a scale; the module itself, with a warning, if it cannot be compiled."""
        module, recipe, device = self.modules[scale], self.recipe, self.run.device
        side = self.patches.side(scale) * (scale if self.takes_hr else 1)
        batch = torch.zeros(recipe.batch // (self.workers.size * recipe.accumulate), 3, side, side, device=device)
        try:
            trial: Any = torch.compile(copy.deepcopy(module))
            with _autocast(device, self.run.precision):
                sr, penalty = _with_penalty(trial(batch.to(memory_format=torch.channels_last)))
            (sr.float().mean() + penalty).backward()
        except Exception as error:  # whatever a compiler, its headers or its backend may raise
            reason = str(error).strip().splitlines()[0]
            log.warning("torch.compile does not work here, so the training runs without it: %s", reason)
            return module
        compiled: nn.Module = torch.compile(module)  # type: ignore[assignment]  # a module, of a module
        return compiled

    def _refuse_different_steps(self) -> None:
        step = self.progress.step
        total, squares = self.workers.sum(torch.tensor([step, step**2], device=self.run.device)).tolist()
        if total**2 != self.workers.size * squares:  # not all alike; and all have now read what the first may replace
            raise UserError(
                f"the processes of {self.run.name} are not at the same step; give all machines the same "
                f"{self.run.checkpoint}"
            )

    def _save(self) -> None:
        tensors = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        if self.average:
            tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items() if value is not None}
        # As a text, which keeps the order of the columns of the curve.
        save_tensors(self.run.checkpoint, tensors, {"progress": self.progress.model_dump_json()})

    def _resume(self) -> Progress:
        tensors, metadata = load_tensors(self.run.checkpoint)

        def under(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in under("optimiser.").items():
            index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        try:
            restore(self.net, under("net."))
            if self.average:
                restore(self.average, under("average."))
            self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})
            return Progress.model_validate_json(metadata["progress"], strict=True)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.run.checkpoint} is a checkpoint of another net ({reason}); delete it to start again"
            ) from None


def _autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def _with_penalty(output: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | float]:
    return output if isinstance(output, tuple) else (output, 0.0)


def _moving_average(share: float) -> Callable[[Any, Any, Tensor | int], None]:
    def update(averages: Any, weights: Any, count: Tensor | int) -> None:
        steps = int(count)
        kept = min(share, (1 + steps) / (10 + steps))  # short at first, or it would be of the first, random weights
        torch._foreach_lerp_(averages, weights, 1 - kept)

    return update


def _prefetched(patches: Patches, steps: range, workers: Workers) -> Iterator[Batch]:
    """Yield the share of this process in each batch, made by a thread while the step before is computed."""
    with ThreadPoolExecutor(1) as loader:
        pending = [loader.submit(patches.at, step, workers.rank, workers.size) for step in steps[:2]]
        for step in steps:
            yield pending.pop(0).result()
            if step + 2 in steps:
                pending.append(loader.submit(patches.at, step + 2, workers.rank, workers.size))


def _parts(batch: Batch, count: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """Yield LR and HR of ``count`` equal parts of a batch, float NCHW in channels-last order, which NHWC is."""
    images = [torch.from_numpy(pixels) for pixels in (batch.lr, batch.hr)]
    if device.type == "cuda":
        images = [pixels.pin_memory().to(device, non_blocking=True) for pixels in images]
    for pair in zip(*(pixels.chunk(count) for pixels in images), strict=True):
        yield tuple(pixels.permute(0, 3, 1, 2).float() for pixels in pair)


def _stall(metrics: Row, curve: list[Row], warmup: int) -> str:
    """Return how a validation shows that the net does not learn, as the end of a sentence; empty if it does learn."""
    if abs(metrics["over_bicubic"]) < COLLAPSED:
        return "equals bicubic to four digits, so the residual has collapsed to zero"
    if curve and curve[-1]["step"] > warmup and metrics.items() <= curve[-1].items():
        return f"repeats that of step {curve[-1]['step']:g} to the last digit"
    return ""
