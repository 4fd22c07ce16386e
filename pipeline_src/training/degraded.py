"""Degraded LR images of all images of train.h5, on which nets are validated, calibrated and compressed."""

from collections.abc import Sequence
from pathlib import Path

from pipeline_src.config import Degradation
from pipeline_src.datasets import hdf5
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.files import empty
from pipeline_src.imaging.degradation import of_scales
from pipeline_src.paths import TRAIN_H5
from pipeline_src.progress import progress_bar
from pipeline_src.training.session import TrainingSession
from pipeline_src.weights import OtherLR


def degraded(session: TrainingSession, spec: Degradation, scales: Sequence[int], folder: Path) -> OtherLR:
    """Write ``lr.h5``, one degraded LR image of every image and scale; the first process does, and the others wait.

    Training does not read them, but degrades each patch anew.

    Args:
        session: has the seed and the processes.
        spec: what happens to the images.
        scales: of the LR images.
        folder: where the file goes, which is emptied.
    """
    splits = [ImagePairs(TRAIN_H5, "training"), ImagePairs(TRAIN_H5, "validation")]
    named = [(images, name) for images in splits for name in images.names]
    if session.workers.first:
        empty(folder)
        hdf5.write_lr(
            folder / "lr.h5",
            (
                (images.split, name, of_scales(images.hr(name), scales, spec, session.seed, name))
                for images, name in progress_bar(named, "degrade", "image")
            ),
        )
    session.workers.wait()
    return OtherLR(folder / "lr.h5", spec)
