"""What ``superres upscale`` and ``superres downscale`` share: their arguments, and which image goes to which file."""

import argparse
import logging
import mimetypes
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.command import count
from pipeline_src.errors import UserError
from pipeline_src.upscaling.formats import OUTPUT_FORMATS, OutputFormat, format_name, format_of

if TYPE_CHECKING:
    from pipeline_src.upscaling.batch import Job

log = logging.getLogger(__name__)

# Raw files of cameras and other images that `mimetypes` does not know.
OTHER_IMAGES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw"),
    *(".exr", ".hdr", ".hif", ".jxl", ".psd", ".tga", ".xcf"),
)


def add_image_arguments(parser: argparse.ArgumentParser, model_help: str) -> None:
    """Add the arguments for the images, the output, the model, and the threads."""
    parser.add_argument("inputs", nargs="+", type=Path, help="images, or folders of images, with their subfolders")
    parser.add_argument(
        "-o",
        "--output",
        help="a file for one image, or a folder (one that exists, or a name with / at its end); default: beside the "
        "input",
    )
    parser.add_argument("--format", type=format_name, choices=OUTPUT_FORMATS, help="of images in a folder; default png")
    parser.add_argument("--quality", type=quality, help="1 to 100, of jpeg, webp and avif; default 95, of avif 90")
    parser.add_argument("--model", help=model_help)
    parser.add_argument("--threads", type=count, default=2, help="default 2")


def quality(text: str) -> int:
    """Return the quality of a lossy format, 1 to 100, as the type of an argument."""
    number = count(text)
    if number > 100:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 100")
    return number


def jobs(
    inputs: list[Path],
    output: str | Path | None,
    file_format: str | None = None,
    quality: int | None = None,
    label: str = "",
) -> "list[Job]":
    """Return each image of ``inputs``, files and folders, with the file that it is written to.

    Args:
        inputs: Images, and folders of images, whose subfolders are mirrored.
        output: A file for one image; or a folder, which exists, or whose name ends in a slash, or which there must be
            because there are several images; None for files and folders beside the inputs.
        file_format: Of images that go into a folder: a key of ``OUTPUT_FORMATS``. By default they become PNG, but
            animations and files of several pages keep their formats.
        quality: Of lossy formats.
        label: What a name gets at its end where there is no output: ``x4`` makes ``photo_x4.png`` of ``photo.jpg``,
            and a folder ``holiday_x4`` for that of ``holiday``.

    Raises:
        UserError: If there are no images, if one would be written over another or over itself, or if the output cannot
            be written.
    """
    if output is None:
        made = [job for path in inputs for job in _jobs_beside(path, label, file_format, quality)]
    else:
        place = Path(output)
        into_folder = len(inputs) > 1 or inputs[0].is_dir() or place.is_dir() or str(output).endswith(SLASHES)
        made = []
        for source, inside in _images(inputs, place):
            target = place / inside if into_folder else place
            chosen = _format(source, target, file_format, into_folder)
            named = target.with_suffix(chosen.suffixes[0]) if into_folder else target
            made.append(_job(source, named, chosen, quality))
        _refuse_place(place, into_folder)
    _refuse_collisions(made)
    if quality is not None and all(job.output_format.quality is None for job in made):
        raise UserError(
            f"--quality is for jpeg, webp and avif, and {made[0].target} is none; leave it out or choose --format"
        )
    return made


def _jobs_beside(path: Path, label: str, file_format: str | None, quality: int | None) -> "Iterator[Job]":
    """Yield the jobs of one input without an output."""
    path = path if path.name else path.resolve()  # "." has no name
    if path.is_dir():
        place = path.with_name(f"{path.name}_{label}")
        targets = [(source, place / inside) for source, inside in _images([path], place)]
    else:
        place = path.parent
        targets = [(path, path.with_name(f"{path.stem}_{label}{path.suffix or '.png'}"))]
    for source, target in targets:
        chosen = _format(source, target, file_format, into_folder=True)
        yield _job(source, target.with_suffix(chosen.suffixes[0]), chosen, quality)
    _refuse_place(place, into_folder=True)


SLASHES = tuple(filter(None, (os.sep, os.altsep)))


def _job(source: Path, target: Path, output_format: OutputFormat, quality: int | None) -> "Job":
    from pipeline_src.upscaling.batch import Job

    return Job(source, target, output_format, None if output_format.quality is None else quality)


def _format(source: Path, target: Path, file_format: str | None, into_folder: bool) -> OutputFormat:
    """Return the format in which an image is written."""
    from pipeline_src.upscaling.reading import read_header

    if not into_folder:
        if file_format is None or target.suffix:
            named = format_of(target)
            if file_format is not None and named is not OUTPUT_FORMATS[file_format]:
                raise UserError(
                    f"{target} is no name of a file in {file_format}; leave --format out, or correct --output"
                )
            return named
        return OUTPUT_FORMATS[file_format]
    if file_format is not None:
        return format_of(target.with_suffix(OUTPUT_FORMATS[file_format].suffixes[0]))
    try:
        several = read_header(source).frames > 1
    except UserError:  # which the batch reports with the others
        several = False
    return format_of(source) if several else OUTPUT_FORMATS["png"]


def _images(inputs: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the images of the inputs, each with its path inside the output folder."""
    from pipeline_src.imaging.images import HEIF, SUFFIXES, heif_is_read

    suffixes = (*SUFFIXES, *(HEIF if heif_is_read() else ()))
    found, skipped = False, []
    for path in inputs:
        if not path.is_dir():
            found = True
            yield path, Path(path.name)
            continue
        for file in _files(path, output):
            if file.suffix.lower() in suffixes:
                found = True
                yield file, file.relative_to(path)
            elif _is_image(file):
                skipped.append(file)
    if skipped:
        names = ", ".join(map(str, skipped))
        heif = " (HEIF is, after `pip install pillow-heif`)" if any(f.suffix.lower() in HEIF for f in skipped) else ""
        log.warning("skipped, because images of this format are not read%s: %s", heif, names)
    if not found:
        raise UserError(f"{inputs[0]} holds no images ({' '.join(suffixes)}); name a folder or files that do")


def _files(folder: Path, output: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders in order, except hidden ones and those of the output folder."""
    seen = {folder.resolve()}

    def tell(error: OSError) -> None:
        log.warning("the folder %s cannot be read (%s), and its images are left out", error.filename, error.strerror)

    for place, folders, names in os.walk(folder, onerror=tell, followlinks=True):
        here = Path(place)
        kept = []
        for name in sorted(folders):
            real = (here / name).resolve()
            if not name.startswith(".") and real not in seen and real != output.resolve():
                seen.add(real)  # links can lead round in circles
                kept.append(name)
        folders[:] = kept
        yield from (here / name for name in sorted(names) if not name.startswith(".") and (here / name).is_file())


def _is_image(file: Path) -> bool:
    kind = mimetypes.guess_type(file.name)[0] or ""
    return kind.startswith("image/") or file.suffix.lower() in OTHER_IMAGES


def _refuse_collisions(made: "list[Job]") -> None:
    target, times = Counter(job.target for job in made).most_common(1)[0]
    if times > 1:
        names = ", ".join(str(job.source) for job in made if job.target == target)
        raise UserError(f"{times} images would all be written to {target} ({names}); rename them or name them apart")
    sources = {job.source.resolve() for job in made}
    for job in made:
        if job.target.resolve() in sources:
            raise UserError(f"{job.target} is the input itself; choose another --output")


def _refuse_place(output: Path, into_folder: bool) -> None:
    """Check that the output can be made where it is to be, as far as can be known before."""
    if into_folder and output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file, and a folder is needed for what you name; choose another --output")
    nearest = output if into_folder else output.parent
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file, so {output} cannot be in it; choose another --output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"you cannot write to {nearest}; choose an --output in a folder of yours")
