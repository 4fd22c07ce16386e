"""A batch of photographs: what is checked before any computing, and that one bad file does not stop the others."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from math import ceil
from pathlib import Path

import numpy as np

from pipeline_src.command import printable
from pipeline_src.errors import UserError
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


@dataclass(frozen=True)
class Resizing:
    """How the frames of a batch are resized.

    Attributes:
        resize: maps a frame's colours, H×W×3, to ⌈H·factor⌉×⌈W·factor⌉×3 of the same dtype; its second argument is to
            be called after each step.
        factor: maps width and height of an image to the factor of ``resize``; above 1 enlarges.
        steps: maps width and height of an image to the number of steps of ``resize``.
        finish: makes of a resized frame, the frame, the metadata of its file and the file the frame to write.
        wide: whether ``resize`` takes 16 bits a sample.
        texts: what the result's file says of a frame, if it is a PNG.
    """

    resize: Callable[[np.ndarray, Callable[[], object]], np.ndarray]
    factor: Callable[[int, int], Fraction]
    steps: Callable[[int, int], int]
    finish: Callable[[Frame, Frame, Metadata, Path], Frame] = lambda result, frame, metadata, source: result
    wide: bool = True
    texts: Callable[[Frame], dict[str, str]] = lambda frame: {}


def run_batch(jobs: Sequence[Job], resizing: Resizing, verb: str) -> None:
    """Resize all images of a batch, with a progress bar on a terminal.

    Whatever can be known is said before the first image: files that cannot be read, and results that their format
    cannot hold.

    Args:
        jobs: the images.
        resizing: how.
        verb: what is done, for the progress bar.

    Raises:
        UserError: after all others were done, if an image could not be; it names them.
    """
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    failures = _Failures(len(jobs))
    ready = [job for job in jobs if failures.none_in(job, partial(_check, job, resizing))]
    steps = sum(job.frames * resizing.steps(job.header.width, job.header.height) for job in ready)
    # With disable=None there is no bar where stderr is no terminal.
    with logging_redirect_tqdm(), tqdm(total=steps, desc=verb, unit="tile", disable=None) as bar:
        for job in ready:
            bar.set_postfix_str(printable(job.source.name))
            failures.none_in(job, partial(resize_file, job, resizing, bar.update))
    failures.report()


def resize_file(job: Job, resizing: Resizing, progress: Callable[[], object] = lambda: None) -> None:
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
        factor = resizing.factor(frame.width, frame.height)
        result = resized(lambda colours: resizing.resize(colours, progress), frame, factor)
        result = resizing.finish(result, frame, said, job.source)
        if not frames:
            said = replace(said, texts=said.texts | resizing.texts(frame))
            metadata = scaled(said, result.width / frame.width, result.width, result.height)
        frames.append(result)
    write_photograph(Photograph(frames, metadata), job.target, job.output_format, job.quality)


class _Failures:
    """The images of a batch that could not be done. A single image fails at once."""

    def __init__(self, images: int) -> None:
        self.images = images
        self.failed: list[Path] = []

    def none_in(self, job: Job, work: Callable[[], object]) -> bool:
        """Run a part of a job and return whether it went well."""
        try:
            work()
        except UserError as error:
            if self.images == 1:
                raise
            log.warning("%s", error)
            self.failed.append(job.source)
            return False
        except MemoryError:
            if self.images == 1:
                raise UserError(f"{job.source} needs more memory than there is; crop it or make it smaller") from None
            log.warning("%s needs more memory than there is; crop it or make it smaller", job.source)
            self.failed.append(job.source)
            return False
        return True

    def report(self) -> None:
        """Raise UserError if there were failures."""
        if self.failed:
            names = ", ".join(map(str, self.failed))
            raise UserError(f"{len(self.failed)} of {self.images} images could not be done: {names}")


def _check(job: Job, resizing: Resizing) -> None:
    """Check that the format of a result can hold it; warn if it holds the first frame only."""
    header = job.header
    factor = resizing.factor(header.width, header.height)
    width, height = (ceil(side * factor) for side in (header.width, header.height))
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
