"""Estimates how long the trainings of params.yaml take on this machine, and whether they fit into the GPU's memory.

Each net is trained for a few steps on random pixels, on the device that will train it. On a GPU the steps have the
batch and the patch of the recipe, so a recipe that does not fit into its memory fails here, and not after hours. On a
CPU a large net is given one small patch, and its time is scaled by the number of pixels.
"""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline_src import paths
from pipeline_src.config import Params, Recipe, System
from pipeline_src.datasets import hdf5
from pipeline_src.errors import UserError
from pipeline_src.files import read_json, write_json
from pipeline_src.metrics.validation import Row
from pipeline_src.models import SuperResolutionNet
from pipeline_src.preflight.work import works
from pipeline_src.training import joint
from pipeline_src.training.devices import precision_of, torch_device
from pipeline_src.training.loop import TrainingRun, fit
from pipeline_src.training.session import patches_of
from pipeline_src.weights import build

MEASURED = paths.SCRATCH / "preflight.json"
SMALL_PATCH = 32  # LR pixels along each side
WORTH_A_WHOLE_STEP = 1.0  # seconds: a step that takes longer is scaled from one small patch
TOO_LONG = 20.0  # seconds of a first step, after which there is no second
STEP_DEPENDS_ON = {"batch", "patch", "patch_of", "loss", "optimiser", "clip", "clip_by", "accumulate", "ema"}
LAST_STEP = {"cpu": 2, "cuda": 5}  # the step before it is timed
ROOM = 32  # pixels by which an image is larger than a patch, so that it has different ones


@dataclass(frozen=True)
class Cost:
    """The cost of a training step of one net at one scale.

    Attributes:
        seconds_per_pixel: seconds per LR pixel of the batch.
        peak_bytes: the most memory that the GPU had allocated; 0 on a CPU.
    """

    seconds_per_pixel: float
    peak_bytes: int


@dataclass(frozen=True)
class Estimate:
    """The estimate for all trainings together.

    Attributes:
        seconds: of all trainings, as many side by side as ``at_a_time``.
        at_a_time: trainings that run side by side.
        device: its name.
        peak_bytes: the most memory that a training needs on a GPU; 0 on a CPU.
        memory_bytes: memory of the GPU; 0 on a CPU.
    """

    seconds: float
    at_a_time: int
    device: str
    peak_bytes: int
    memory_bytes: int


class _MeasuredError(Exception):
    """Ends a training that has been measured."""


def estimate(params: Params) -> Estimate:
    """Measure a step of each net that is trained, and return what all trainings take.

    Quantisation-aware training and the fine-tuning of a smaller net count as training of the net itself, without
    torch.compile. Measurements are kept in ``.cache``, for the next time.

    Raises:
        UserError: if ``train.device`` is cuda and there is none, a net cannot be built, or a training does not fit into
            the memory of the GPU.
    """
    device = torch_device(params.train.device, params.threads)
    costs = {name: _costs(params, name, device) for name in dict.fromkeys(work.system for work in works(params))}
    by_system = dict.fromkeys(costs, 0.0)
    for work in works(params):
        by_system[work.system] += work.steps * _seconds_per_step(work.recipe, costs[work.system])
    on_gpu = device.type == "cuda"
    at_a_time = torch.cuda.device_count() if on_gpu else os.cpu_count() or 1
    return Estimate(
        # the trainings of one system follow each other
        seconds=max(sum(by_system.values()) / at_a_time, *by_system.values()),
        at_a_time=at_a_time,
        device=torch.cuda.get_device_name(device) if on_gpu else "this CPU",
        peak_bytes=max(cost.peak_bytes for scales in costs.values() for cost in scales.values()),
        memory_bytes=torch.cuda.get_device_properties(device).total_memory if on_gpu else 0,
    )


def _seconds_per_step(recipe: Recipe, costs: dict[int, Cost]) -> float:
    """Return the mean over the scales, which are equally likely."""
    seconds = [cost.seconds_per_pixel * recipe.batch * _side(recipe, scale) ** 2 for scale, cost in costs.items()]
    return sum(seconds) / len(seconds)


def _side(recipe: Recipe, scale: int) -> int:
    return recipe.patch if recipe.patch_of == "lr" else recipe.patch // scale


def _costs(params: Params, name: str, device: torch.device) -> dict[int, Cost]:
    """Return the cost of a step by scale, measured now or before."""
    system = params.systems[name]
    identity = {
        "system": system.model_dump(include={"model", "scales", "net", "downscaler"}),
        "recipe": system.train.model_dump(include=STEP_DEPENDS_ON),
        "train": params.train.model_dump(include={"device", "precision"}),
        "threads": params.threads,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else [os.cpu_count(), os.uname().nodename],
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    kept = read_json(MEASURED, dict[str, dict[int, Cost]], "delete it") if MEASURED.is_file() else {}
    if digest not in kept:
        kept[digest] = {scale: _measure(params, name, scale, device) for scale in system.scales}
        write_json(MEASURED, {key: {scale: asdict(cost) for scale, cost in of.items()} for key, of in kept.items()})
    return kept[digest]


def _measure(params: Params, name: str, scale: int, device: torch.device) -> Cost:
    """Measure a step of the training of a system at one scale."""
    recipe: Recipe = params.systems[name].train
    side = _side(recipe, scale)
    recipe = recipe.model_copy(
        update={"patch": side, "patch_of": "lr", "steps": 1 + LAST_STEP[device.type], "lr": 1e-9, "warmup": 0}
    )
    pixels = recipe.batch * side**2
    if device.type == "cpu":
        small = min(side, SMALL_PATCH)
        one = recipe.model_copy(update={"patch": small, "batch": 1, "accumulate": 1})
        seconds_per_pixel = _seconds(params, name, scale, one, device) / small**2
        if seconds_per_pixel * pixels > WORTH_A_WHOLE_STEP:
            return Cost(seconds_per_pixel, 0)
        return Cost(_seconds(params, name, scale, recipe, device) / pixels, 0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    try:
        seconds = _seconds(params, name, scale, recipe, device)
    except torch.cuda.OutOfMemoryError:
        total = torch.cuda.get_device_properties(device).total_memory
        raise UserError(
            f"the training of {name} at ×{scale} does not fit into the {total / 1e9:.0f} GB of "
            f"{torch.cuda.get_device_name(device)}; lower its batch or patch, or raise its accumulate, in params.yaml: "
            f"systems.{name}.train"
        ) from None
    return Cost(seconds / pixels, torch.cuda.max_memory_allocated(device))


def _seconds(params: Params, name: str, scale: int, recipe: Recipe, device: torch.device) -> float:
    """Return the seconds of a training step on random pixels, after a first one that also prepares things."""
    times: list[float] = []

    def note_time(step: int) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter())
        if (step and times[-1] - times[-2] > TOO_LONG) or step == LAST_STEP[device.type]:
            raise _MeasuredError

    def no_validation(net: SuperResolutionNet) -> Row:
        raise AssertionError("the training ends before its validation")

    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "train.h5"
        _write_random_image(images, scale, recipe.patch + ROOM)
        run = TrainingRun(
            name=f"measure {name} ×{scale}",
            device=device,
            precision=precision_of(params.train.precision, device),
            checkpoint=Path(folder) / "checkpoint",
            checkpoint_every=recipe.steps,
            validate=no_validation,
            validate_every=recipe.steps,
            before_step=note_time,
        )
        patches = patches_of(hdf5.ImagePairs(images, "training"), [scale], recipe, params.seed)
        with suppress(_MeasuredError):
            fit(_untrained(params.systems[name], name), patches, recipe, run)
    return times[-1] - times[-2]


def _untrained(system: System, name: str) -> SuperResolutionNet:
    """Return the net of a system with random weights, together with its downscaler if that learns."""
    where = f"params.yaml: systems.{name}"
    net = build(system.model, system.scales, system.net, where)
    downscaler = joint.untrained_downscaler(system.downscaler.model_copy(update={"start": None}), system.scales, where)
    return joint.Joint(net, downscaler, system.downscaler) if downscaler else net


def _write_random_image(path: Path, scale: int, side: int) -> None:
    """Write a train.h5 with one image of ``side`` LR pixels along each side."""
    random = np.random.default_rng(0)
    hr, lr = (random.integers(0, 256, (pixels, pixels, 3), np.uint8) for pixels in (side * scale, side))
    hdf5.write(path, [("training", "random/image.png", hr, {scale: lr})])
