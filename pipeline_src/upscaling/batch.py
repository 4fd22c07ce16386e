"""A batch of photographs: what is checked before any computing, and that one bad file does not stop the others."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline_src.command import printable
from pipeline_src.errors import UserError, is_out_of_memory
from pipeline_src.progress import progress_bar
from pipeline_src.upscaling.formats import OutputFormat, check_size, formats_with, refuse_alpha
from pipeline_src.upscaling.metadata import Metadata, scaled
from pipeline_src.upscaling.photographs import Frame, Photograph, resized
from pipeline_src.upscaling.reading import Header, read_frames, read_header
from pipeline_src.upscaling.writing import write_photograph

log = logging.getLogger(__name__)

ANIMATION_LIMIT = 2**29  # pixels of all frames of a result, which memory holds at once: 1.6 GB of colours


@dataclass(frozen=True)
class Job:
    """One image file, and the file that it becomes.

    Attributes:
        source: the image.
        target: the file to write.
        output_format: of ``target``.
        quality: of a lossy format, or None for its default.
    """

    source: Path
    target: Path
    output_format: OutputFormat
    quality: int | None = None

    @cached_property
    def header(self) -> Header:
        """The header of ``source``; UserError if it cannot be read."""
        return read_header(self.source)

    @property
    def frames(self) -> int:
        """How many frames or pages of ``source`` the target holds."""
        able = self.output_format.pages if self.header.pages else self.output_format.animation
        return self.header.frames if able else 1


class Plan(Protocol):
    """How an image of one size is resized."""

    @property
    def factor(self) -> float | Fraction:
        """By which both sides grow."""

    @property
    def tiles(self) -> int:
        """Into how many tiles the image is divided."""

    def __call__(self, image: np.ndarray, progress: Callable[[], object]) -> np.ndarray:
        """Resize uint8 H×W×3 to uint8 ⌈H·factor⌉×⌈W·factor⌉×3, and call ``progress`` after each tile."""


@dataclass(frozen=True)
class Whole:
    """A plan that resizes an image of any size in one call.

    Attributes:
        factor: by which both sides grow; below 1 they shrink.
        resize: maps uint8 H×W×3 to uint8 ⌈H·factor⌉×⌈W·factor⌉×3.
        tiles: how often ``progress`` is called.
    """

    factor: float | Fraction
    resize: Callable[[np.ndarray], np.ndarray]
    tiles: int = 1

    def __call__(self, image: np.ndarray, progress: Callable[[], object]) -> np.ndarray:
        """Resize uint8 H×W×3, and call ``progress``."""
        result = self.resize(image)
        progress()
        return result


@dataclass(frozen=True)
class Resizing:
    """How the frames of a batch are resized.

    Attributes:
        plan: returns how an image of a height and a width is resized; UserError if it cannot be.
        crop: makes the frame to write of a resized frame, the frame itself, its metadata, its file, and the factor.
        texts: what the result's file says of a frame, if it is a PNG.
        wide: whether images of 16 bits stay so.
        smaller: what a user can do about an image that memory does not hold.
    """

    plan: Callable[[int, int], Plan]
    crop: Callable[[Frame, Frame, Metadata, Path, float | Fraction], Frame] = lambda result, *_: result
    texts: Callable[[Frame], dict[str, str]] = lambda frame: {}
    wide: bool = True
    smaller: str = "crop it or make it smaller"


@dataclass(frozen=True)
class Done:
    """An image that was resized.

    Attributes:
        job: the file, and what it became.
        width: of the first frame of the result.
        height: of the first frame of the result.
    """

    job: Job
    width: int
    height: int


def run_batch(jobs: Sequence[Job], resizing: Resizing, verb: str) -> list[Done]:
    """Resize all images of a batch, with a progress bar on a terminal.

    Whatever can be known is said before the first image: files that cannot be read, and results that their format
    cannot hold.

    Args:
        jobs: the images.
        resizing: how.
        verb: what is done, for the progress bar.

    Returns:
        The images.

    Raises:
        UserError: after all others were done, if an image could not be; it names them.
    """
    from tqdm.contrib.logging import logging_redirect_tqdm

    failures = _Failures(len(jobs), resizing.smaller)
    done: list[Done] = []
    ready = [job for job in jobs if failures.went_well(job, partial(_check, job, resizing))]
    steps = sum(job.frames * resizing.plan(job.header.height, job.header.width).tiles for job in ready)
    with logging_redirect_tqdm(), progress_bar(None, verb, "tile", total=steps) as bar:
        for job in ready:
            bar.set_postfix_str(printable(job.source.name))
            failures.went_well(job, partial(_resize_into, done, job, resizing, bar.update))
    failures.report()
    return done


def _resize_into(done: list[Done], job: Job, resizing: Resizing, progress: Callable[[], object]) -> None:
    done.append(resize_file(job, resizing, progress))


def resize_file(job: Job, resizing: Resizing, progress: Callable[[], object] = lambda: None) -> Done:
    """Resize the frames of one image file and write the result.

    Args:
        job: the file, and what it becomes.
        resizing: how.
        progress: called after each step.

    Raises:
        UserError: if the file cannot be read or the result cannot be written.
    """
    frames: list[Frame] = []
    metadata = Metadata()
    wide = resizing.wide and job.output_format.sixteen_bits
    for stored, said in read_frames(job.source, first_only=job.frames == 1, wide=wide):
        frame = _fitting(stored, job)
        plan = resizing.plan(frame.height, frame.width)
        result = resized(partial(plan, progress=progress), frame, plan.factor)
        result = resizing.crop(result, frame, said, job.source, plan.factor)
        if not frames:
            said = replace(said, texts=said.texts | resizing.texts(frame))
            metadata = scaled(said, result.width / frame.width, result.width, result.height)
        frames.append(result)
    write_photograph(Photograph(frames, metadata), job.target, job.output_format, job.quality)
    return Done(job, frames[0].width, frames[0].height)


class _Failures:
    """The images of a batch that could not be done. A single image fails at once."""

    def __init__(self, images: int, smaller: str) -> None:
        self.images = images
        self.smaller = smaller
        self.failed: list[Path] = []

    def went_well(self, job: Job, work: Callable[[], object]) -> bool:
        """Run a part of a job and return whether it went well."""
        try:
            _in_memory(job, work, self.smaller)
        except UserError as error:
            if self.images == 1:
                raise
            named = str(job.source) in str(error)
            log.warning("%s", error if named else f"{job.source}: {error}")
            self.failed.append(job.source)
            return False
        return True

    def report(self) -> None:
        """Raise UserError if there were failures."""
        if self.failed:
            names = ", ".join(map(str, self.failed))
            raise UserError(f"{len(self.failed)} of {self.images} images could not be done: {names}")


def _in_memory(job: Job, work: Callable[[], object], smaller: str) -> None:
    try:
        work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"{job.source} needs more memory than there is; {smaller}") from None


def _check(job: Job, resizing: Resizing) -> None:
    """Check that the format of a result can hold it; warn if it holds the first frame only."""
    header = job.header
    factor = resizing.plan(header.height, header.width).factor
    width, height = math.ceil(header.width * factor), math.ceil(header.height * factor)
    check_size(job.output_format, width, height, job.source)
    if job.frames > 1 and job.frames * width * height > ANIMATION_LIMIT:
        raise UserError(
            f"{job.source} has {job.frames} frames, which would become {job.frames * width * height // 10**6} million "
            f"pixels in all, above {ANIMATION_LIMIT // 10**6} million; split it"
        )
    if job.frames < header.frames:
        kind, able = ("pages", "pages") if header.pages else ("frames", "animation")
        log.warning(
            "%s has %d %s, and %s will hold the first alone; a file that ends in %s holds all",
            *(job.source, header.frames, kind, job.target),
            formats_with(lambda output_format: getattr(output_format, able)),
        )


def _fitting(frame: Frame, job: Job) -> Frame:
    """Return a frame without alpha if it is opaque all over and the format of the result has none."""
    if frame.alpha is None or job.output_format.alpha:
        return frame
    if (frame.alpha == np.iinfo(frame.alpha.dtype).max).all():
        return replace(frame, alpha=None)
    raise refuse_alpha(job.output_format, job.source)
