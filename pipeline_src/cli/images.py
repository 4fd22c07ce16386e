"""What ``superres upscale`` and ``superres downscale`` share: their arguments, and which image goes to which file."""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.main import filled, filled_path
from pipeline_src.command import printable, threads
from pipeline_src.errors import UserError
from pipeline_src.library.places import SLASHES, check_folder_name, check_place, is_image
from pipeline_src.upscaling.formats import OUTPUT_FORMATS, OutputFormat, format_name, format_of

if TYPE_CHECKING:
    from pipeline_src.upscaling.batch import Done, Job

log = logging.getLogger(__name__)


def add_image_arguments(parser: argparse.ArgumentParser, model_help: str) -> None:
    """Add the arguments for the images, the output, the model, and the threads."""
    parser.add_argument(
        "inputs", nargs="+", type=filled_path, help="images, or folders of images, with their subfolders"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=filled,
        help="a file for one image, or a folder: one that exists, or a name that ends in /; default: beside the input",
    )
    parser.add_argument("--format", type=format_name, choices=OUTPUT_FORMATS, help="of images in a folder; default png")
    parser.add_argument("--quality", type=quality, help="1 to 100, of jpeg, webp and avif; default 95, of avif 90")
    parser.add_argument("--model", type=filled, help=model_help)
    parser.add_argument("--threads", type=threads, default=2, help="default 2")


def quality(text: str) -> int:
    """Return the quality of a lossy format, 1 to 100, as the type of an argument."""
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 100")
    return int(text)


@dataclass(frozen=True)
class Wanted:
    """What a user wants of the files to be written.

    Attributes:
        file_format: a key of ``OUTPUT_FORMATS``. By default images that are not named become PNG, but animations and
            files of several pages keep their formats.
        quality: of lossy formats.
    """

    file_format: str | None = None
    quality: int | None = None


def beside(path: Path, label: str) -> Path:
    """Return what an input becomes where no output is named, without a suffix: ``photo_x4`` for ``photo.jpg``.

    Args:
        path: an image, or a folder of images.
        label: the end of the name, such as ``x4``.
    """
    path = path if path.name else path.resolve()  # "." has no name
    return path.with_name(f"{path.name if path.is_dir() else path.stem}_{label}")


def jobs(inputs: list[Path], output: str | Path | None, label: str = "", wanted: Wanted | None = None) -> "list[Job]":
    """Return each image of ``inputs``, files and folders, with the file that it is written to.

    Args:
        inputs: Images, and folders of images, whose subfolders are mirrored.
        output: A file for one image; or a folder, which exists, or whose name ends in a slash, or which there must be
            because there are several images. None for :func:`beside`.
        label: For :func:`beside`.
        wanted: Format and quality.

    Raises:
        UserError: If there are no images, if one would be written over another or over itself, or if the output cannot
            be written.
    """
    wanted = wanted or Wanted()
    made = [_job(source, target, named, wanted) for source, target, named in _targets(inputs, output, label)]
    _refuse_collisions(made)
    if wanted.quality is not None and all(job.output_format.quality is None for job in made):
        raise UserError(
            f"--quality is for jpeg, webp and avif, and {made[0].target} is none; leave it out or choose --format"
        )
    return made


def summary(done: "list[Done]", output: str | None, how: str) -> str:
    """Return one line that says which files were made.

    Args:
        done: the images.
        output: as for :func:`jobs`.
        how: the net and its scale.
    """
    if len(done) == 1:
        made, source = done[0], done[0].job.header
        sizes = f"{source.width}×{source.height} -> {made.width}×{made.height} pixels"
        return printable(f"{made.job.target}: {how}, {sizes}")
    place = "beside their originals" if output is None else f"in {output}"
    return printable(f"{len(done)} images {place}: {how}")


def _targets(inputs: list[Path], output: str | Path | None, label: str) -> Iterator[tuple[Path, Path, bool]]:
    """Yield each image, the file that it becomes, and whether its suffix was named by the user."""
    if output is None:
        for source, inside, root in _images(inputs, {beside(path, label) for path in inputs if path.is_dir()}):
            place = beside(root, label)
            check_place(place, root.is_dir())
            yield source, place / inside if root.is_dir() else place.with_name(f"{place.name}.png"), False
        return
    place = Path(output)
    into_folder = len(inputs) > 1 or inputs[0].is_dir() or place.is_dir() or str(output).endswith(SLASHES)
    if into_folder:
        check_folder_name(output)
    check_place(place, into_folder)
    for source, inside, _ in _images(inputs, {place}):
        yield source, place / inside if into_folder else place, not into_folder


def _job(source: Path, target: Path, named: bool, wanted: Wanted) -> "Job":
    from pipeline_src.upscaling.batch import Job

    chosen = _named_format(target, wanted) if named else _format(source, wanted)
    target = target if named else target.with_suffix(chosen.suffixes[0])
    return Job(source, target, chosen, None if chosen.quality is None else wanted.quality)


def _named_format(target: Path, wanted: Wanted) -> OutputFormat:
    """Return the format of a file whose name the user chose."""
    if wanted.file_format is None:
        return format_of(target)
    chosen = OUTPUT_FORMATS[wanted.file_format]
    if target.suffix and format_of(target) is not chosen:
        raise UserError(f"{target} is no name of a {wanted.file_format} file; leave --format out or correct --output")
    return chosen


def _format(source: Path, wanted: Wanted) -> OutputFormat:
    """Return the format that an image becomes where its name is not chosen."""
    from pipeline_src.upscaling.reading import read_header

    if wanted.file_format is not None:
        return format_of(source.with_suffix(OUTPUT_FORMATS[wanted.file_format].suffixes[0]))
    try:
        header = read_header(source)
    except UserError:  # which the batch reports with the others
        return OUTPUT_FORMATS["png"]
    own = [output_format for output_format in OUTPUT_FORMATS.values() if output_format.name == header.file_format]
    return own[0] if own and header.frames > 1 else OUTPUT_FORMATS["png"]


def _images(inputs: list[Path], outputs: set[Path]) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the images of the inputs, each with its path inside the output folder, and the input that it is of."""
    from pipeline_src.imaging.images import HEIF, SUFFIXES, heif_is_read

    suffixes = (*SUFFIXES, *(HEIF if heif_is_read() else ()))
    skipped, without = [], []
    for path in inputs:
        files = [*_files(path, {output.resolve() for output in outputs})] if path.is_dir() else [path]
        images = [file for file in files if file.suffix.lower() in suffixes] if path.is_dir() else files
        if path.is_dir():
            skipped += [file for file in files if file.suffix.lower() not in suffixes and is_image(file)]
        if not images:
            without.append(path)
        for file in images:
            yield file, file.relative_to(path) if path.is_dir() else Path(file.name), path
    if skipped:
        names = ", ".join(map(str, skipped))
        heif = " (HEIF is, after `pip install pillow-heif`)" if any(f.suffix.lower() in HEIF for f in skipped) else ""
        log.warning("skipped, because images of this format are not read%s: %s", heif, names)
    if without == inputs:
        raise UserError(f"{inputs[0]} holds no images ({' '.join(suffixes)}); name a folder or files that do")
    for path in without:
        log.warning("%s holds no images (%s)", path, " ".join(suffixes))


def _files(folder: Path, outputs: set[Path]) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders in order, except hidden ones and those of output folders.

    Links to folders are followed to places that are not walked anyway, since links can lead round in circles.
    """
    walked = {folder.resolve()}

    def tell(error: OSError) -> None:
        log.warning("the folder %s cannot be read (%s), and its images are left out", error.filename, error.strerror)

    for place, folders, names in os.walk(folder, onerror=tell, followlinks=True):
        here = Path(place)
        kept = []
        for name in sorted(folders):
            real, linked = (here / name).resolve(), (here / name).is_symlink()
            known = any(real.is_relative_to(other) or other.is_relative_to(real) for other in walked)
            if name.startswith(".") or real in outputs or (linked and known):
                continue
            kept.append(name)
            walked.update({real} if linked else ())
        folders[:] = kept
        yield from (here / name for name in sorted(names) if not name.startswith(".") and (here / name).is_file())


def _refuse_collisions(made: "list[Job]") -> None:
    target, times = Counter(job.target for job in made).most_common(1)[0]
    if times > 1:
        names = ", ".join(str(job.source) for job in made if job.target == target)
        raise UserError(f"{times} images would all be written to {target} ({names}); rename them or name them apart")
    sources = {job.source.resolve() for job in made}
    for job in made:
        if job.target.resolve() in sources:
            raise UserError(f"{job.target} is the input itself; choose another --output")
