"""Files and folders that are either whole or absent."""

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pipeline_src.errors import UserError

T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a file that finds no room, wherever it is


def is_of_the_system(error: Exception) -> bool:
    """Whether an exception says what keeps a file from being read or written, and nothing of its content.

    Libraries raise OSError without a number for content that they cannot read. If content makes them read from a place
    that no file has, the system says that this is invalid.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW)


def require_open_files(count: int) -> None:
    """Check that this process may open more files.

    To be asked before, or after the failure of, what opens files elsewhere and does not say that they are too many.

    Raises:
        OSError: if it may not open ``count`` files at once.
    """
    opened = []
    try:
        for _ in range(count):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise OSError(error.errno, error.strerror) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; rename it onto ``path`` when the block ends well, else delete it.

    The temporary name keeps the suffix of ``path``, because some libraries choose a format by it. A symbolic link stays
    one: what it leads to is replaced.
    """
    path = _where(path)
    with _beside(path) as aside:
        yield aside
        aside.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; put it in the place of ``path`` if the block ends well, else delete it.

    A symbolic link stays one: the folder that it leads to is replaced.
    """
    path = _where(path)
    with _beside(path) as aside, _beside(path, "old") as old:
        aside.mkdir()
        yield aside
        if path.exists():
            path.replace(old)
        aside.replace(path)


@contextmanager
def whole_files(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in an empty folder beside ``path``; all files there go beside ``path`` at the end.

    For a file in parts, with its card: the card (JSON) comes last, so that what was there is whole until all is done.
    """
    path = _where(path)
    with _beside(path) as folder:
        folder.mkdir()
        yield folder / path.name
        for part in sorted(folder.iterdir(), key=lambda part: part.suffix == ".json"):
            part.replace(path.with_name(part.name))


def empty(folder: Path) -> None:
    """Make ``folder`` an empty one, whatever it holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _where(path: Path) -> Path:
    """Return where a symbolic link leads; of anything else the path as it is."""
    return path.resolve() if path.is_symlink() else path


@contextmanager
def _beside(path: Path, kind: str = "tmp") -> Iterator[Path]:
    """Yield a free path beside ``path`` and remove it afterwards, and those of killed processes before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".*.{kind}.{glob.escape(path.name)}"):
        if not _is_running(left.name.split(".")[1]):
            _remove(left)
    aside = path.with_name(f".{os.getpid()}.{kind}.{path.name}")
    try:
        yield aside
    except OSError as error:  # some libraries do not say which file it was
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        error.filename = error.filename or str(path)
        raise
    finally:
        _remove(aside)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path, kind: type[T], remedy: str) -> T:
    """Return what a stage wrote with :func:`write_json`.

    Args:
        path: the file.
        kind: its type: a dataclass, or a dict or list of types.
        remedy: the end of a message: what to do where the file is missing or damaged.

    Raises:
        UserError: naming the first mistake, if the file is missing, no JSON, or of another type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {remedy}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        said = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "json_invalid":
            raise UserError(f"{path} is not valid JSON ({said.removeprefix('Invalid JSON: ')}); {remedy}") from None
        where = ".".join(map(str, problem["loc"]))
        raise UserError(f"{path} is damaged: {where}{': ' * bool(where)}{said}; {remedy}") from None


def check_pinned(path: Path, digest: str, key: str) -> None:
    """Check that a file that params.yaml names is here, with the content that it names.

    Args:
        path: the file.
        digest: how its SHA-256 begins, hexadecimal.
        key: the key of params.yaml that names it, for the message.

    Raises:
        UserError: if it is missing or another one.
    """
    if not path.is_file():
        raise UserError(
            f"{path}, which {key} names, does not exist; correct the path, or make the file of a published "
            "checkpoint with `superres import`"
        )
    if not (actual := sha256(path)).startswith(digest):
        raise UserError(f"{path} has the SHA-256 {actual[:12]}…, not {key}.sha256, {digest}; correct one of them")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
