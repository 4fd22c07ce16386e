"""Trainings that a test stops in the middle, and runs again."""

from pathlib import Path
from typing import Any

import torch

from pipeline_src.config import Recipe
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.metrics.validation import Row, validator
from pipeline_src.training.loop import TrainingRun, fit
from pipeline_src.training.session import patches_of


class Stopped(Exception):
    """Stands for a power cut."""


def fitted(
    net: Any, recipe: Recipe, scales: list[int], train_h5: Path, checkpoint: Path, stop_at: int | None, **settings: Any
) -> list[Row]:
    """Train a net, from the checkpoint of an earlier call if that was stopped, and return the curve.

    Args:
        net: trained in place.
        recipe: how.
        scales: at which it is trained and validated.
        train_h5: the images.
        checkpoint: removed when the training has ended.
        stop_at: the step before which :class:`Stopped` is raised; None to train to the end.
        settings: of ``TrainingRun``, where they are others than here.
    """

    def stop(step: int) -> None:
        if step == stop_at:
            raise Stopped

    cpu = torch.device("cpu")
    training: dict[str, Any] = {
        "name": "a training",
        "device": cpu,
        "precision": torch.float32,
        "checkpoint": checkpoint,
        "checkpoint_every": 4,
        "validate": validator(ImagePairs(train_h5, "validation"), scales, 24, cpu),
        "before_step": stop,
    }
    patches = patches_of(ImagePairs(train_h5, "training"), scales, recipe, seed=1)
    curve = fit(net, patches, recipe, TrainingRun(**(training | settings)))
    checkpoint.unlink()
    return curve
