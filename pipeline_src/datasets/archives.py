"""Unpacking of zip and tar archives that are not trusted."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline_src.errors import UserError
from pipeline_src.files import is_of_the_system

MAX_BYTES = 20 * 10**9  # of one unpacked archive; DIV2K's training images have 3.5 GB
MAX_RATIO = 100  # of unpacked to packed size; that of photographs is below 20 even as BMP
FREE_BYTES = 10**7  # that may be unpacked at any ratio
CHUNK = 1 << 16  # bytes


@dataclass(frozen=True)
class Member:
    """A member of an archive that is not a folder.

    Attributes:
        name: with ``/`` between folders.
        problem: why it must not be unpacked, such as "a link"; "" if it may be.
        open: opens it for reading.
    """

    name: str
    problem: str
    open: Callable[[], IO[bytes]]


def extract(archive: Path, folder: Path, pattern: str = "*") -> list[Path]:
    """Unpack the members of a zip or tar archive whose names match a glob pattern. Other members are not touched.

    Args:
        archive: the file.
        folder: where the members go, under their own names.
        pattern: as in :mod:`fnmatch`, for the name including folders.

    Returns:
        The paths of the unpacked files, in the order of the archive.

    Raises:
        UserError: if a member would be written outside ``folder``, is a link, a device or encrypted, or occurs twice,
            if the members unpack to more than ``MAX_BYTES`` or ``MAX_RATIO`` times the archive, or if the archive is
            damaged. The message names the archive and the member.
    """
    budget = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    unpacked: list[Path] = []
    try:
        for member in _members(archive):
            if not fnmatchcase(member.name, pattern):
                continue
            if member.problem:
                raise UserError(
                    f"{archive} is not safe: its member {member.name} is {member.problem}; get the archive elsewhere"
                )
            target = folder / _relative_path(member.name, archive)
            budget -= _unpack(member, target, budget, archive)
            unpacked.append(target)
    except FileExistsError:
        raise UserError(f"{archive} is not safe: its member {member.name} occurs twice; get it elsewhere") from None
    except OSError as error:
        if is_of_the_system(error):
            raise
        raise _damaged(archive, error) from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise _damaged(archive, error) from None
    return unpacked


def _unpack(member: Member, target: Path, budget: int, archive: Path) -> int:
    """Write a member to a new file and return its size in bytes, which must not exceed the budget."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with member.open() as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > budget:
                raise UserError(
                    f"{archive} is not safe: at its member {member.name} it has unpacked to far more than "
                    "photographs take; get the archive elsewhere"
                )
            file.write(chunk)
    return size


def _members(archive: Path) -> Iterator[Member]:
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    else:
        raise UserError(
            f"{archive} is neither a zip nor a tar archive (often a web page that was sent in its place); delete it "
            "and get the archive elsewhere"
        )


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                yield Member(info.filename.replace("\\", "/"), _zip_problem(info), partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if not info.isdir():
                yield Member(info.name, _tar_problem(info), partial(_open_in_tar, opened, info))
        while opened.fileobj and opened.fileobj.read(CHUNK):
            continue  # to the end of the file, where gzip stores its checksum


def _open_in_tar(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = opened.extractfile(info)
    assert file, "members without content have a problem, and are not opened"
    return file


def _zip_problem(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link" if kind == stat.S_IFLNK else "a device"
    return "encrypted" if info.flag_bits & 1 else ""


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return ""
    return "a link" if info.issym() or info.islnk() else "a device"


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"the archive {archive} is damaged ({error}); delete it and run the same command again")


def _relative_path(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or not path.parts:
        raise UserError(f"{archive} is not safe: its member {name} would be written outside; get the archive elsewhere")
    return path
