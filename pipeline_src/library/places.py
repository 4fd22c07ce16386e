"""Files and folders that a user names: the images in a folder, and whether a result can be written to a place."""

import logging
import mimetypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline_src.errors import UserError
from pipeline_src.files import FULL

log = logging.getLogger(__name__)

SLASHES = tuple(filter(None, (os.sep, os.altsep)))

# Raw files of cameras and other images that `mimetypes` does not know.
OTHER_IMAGES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw"),
    *(".exr", ".hdr", ".hif", ".jxl", ".psd", ".tga", ".xcf"),
)


def images_in(folder: Path, besides: Sequence[Path] = ()) -> list[Path]:
    """Return the images directly in a folder, after a warning that names what is left out.

    Left out are images in subfolders, and images of formats that are not read.

    Args:
        folder: the folder.
        besides: folders of other use, whose images are not missed.

    Raises:
        UserError: if there is no such folder, or no image in it.
    """
    from pipeline_src.imaging.images import SUFFIXES, list_images

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and a folder of images is needed; name the folder that it is in")
    files, known = list_images(folder), {place.resolve() for place in besides}
    left_out = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.resolve() in known:
            continue
        if path.is_dir():
            if any(file.suffix.lower() in SUFFIXES for file in path.rglob("*")):
                left_out.append(f"{path}{os.sep}")
        elif path not in files and is_image(path):
            left_out.append(str(path))
    if not files:
        inside = f" itself, only {', '.join(left_out)}" if left_out else ""
        raise UserError(f"the folder {folder} has no images{inside}; name the folder that the images are directly in")
    if left_out:
        log.warning(
            "only images directly in %s, of formats that are read, are used; left out: %s", folder, ", ".join(left_out)
        )
    return files


def is_image(file: Path) -> bool:
    """Return whether the name of a file is that of an image of any format."""
    kind = mimetypes.guess_type(file.name)[0] or ""
    return kind.startswith("image/") or file.suffix.lower() in OTHER_IMAGES


def check_folder_name(output: str | Path, option: str = "--output") -> None:
    """Check that a folder that is to be made is not named like an image, unless the name ends in a slash.

    Args:
        output: the folder, as the user wrote it.
        option: by which the user named it.

    Raises:
        UserError: if it is.
    """
    place = Path(output)
    if is_image(place) and not str(output).endswith(SLASHES) and not place.exists():
        raise UserError(
            f"{output} has the name of an image, but {option} must be a folder here; name a folder, or put / behind it"
        )


def check_place(output: Path, into_folder: bool, option: str = "--output") -> None:
    """Check that a file or a folder can be made where it is to be, as far as can be known before.

    Args:
        output: the file or folder.
        into_folder: whether it is a folder.
        option: by which the user named it.

    Raises:
        UserError: if it cannot.
    """
    try:
        if into_folder and output.exists() and not output.is_dir():
            raise UserError(f"{output} is a file, and a folder is needed for what you name; choose another {option}")
        if not into_folder and output.is_dir():
            raise UserError(f"{output} is a folder, and a file is needed; choose another {option}")
        if not into_folder and output.exists() and (not output.is_file() or output.is_relative_to("/dev")):
            raise UserError(f"{output} is no ordinary file, which would be replaced by one; choose another {option}")
        nearest = output if into_folder else output.parent
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
    except OSError as error:  # such as a name that is too long
        raise UserError(f"{output} cannot be written ({error.strerror}); choose another {option}") from None
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file, so {output} cannot be in it; choose another {option}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        article = "an" if option == "--output" else "a"
        raise UserError(f"you cannot write to {nearest}; choose {article} {option} in a folder of yours")


@contextmanager
def writing(output: Path, option: str = "--output") -> Iterator[None]:
    """Turn what the file system says against writing a file in this block into one sentence; a full disk stays.

    Args:
        output: what is written.
        option: by which the user named it.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"{output} cannot be written ({reason}); choose another {option}") from None
