"""Downloads that go on where they were cut, and archives unpacked without trusting what they say.

``requests`` and ``tqdm`` are imported on first use, because a command's ``--help`` must not wait for them.
"""

import lzma
import re
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from pipeline_src import files
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    from requests import Response

TRIES = 4  # in a row without a new byte
CONNECT_TIMEOUT, READ_TIMEOUT = 15, 60  # seconds
CHUNK = 1 << 16  # bytes; also the most that a cut connection loses
WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)
MAX_BYTES = 20 * 10**9  # of one unpacked archive; DIV2K's training images are 3.5 GB
MAX_RATIO = 100  # unpacked to packed; photographs stay below 20 even as BMP
FREE_BYTES = 10**7  # unpacked whatever the ratio


def download(url: str, path: Path, sha256: str | None = None, pause: float = 1.0) -> None:
    """Download ``url`` to ``path``, whole and with the right ``sha256`` (hex), or not at all.

    What has come so far lies in ``path`` + ``.part``; the next try, and the next call, asks the server for the rest
    only. A connection that fails is tried ``TRIES`` times, after ``pause`` seconds and then twice as long each time. A
    file that is already there and has the right checksum is kept. UserError if it cannot be had or is another file.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with FileLock(path.with_name(path.name + ".lock")):  # several sets come from one archive
        if path.is_file() and (sha256 is None or files.sha256(path) == sha256):
            return
        _fill(part, url, pause)
        found = files.sha256(part) if sha256 else None
        if found != sha256:
            part.unlink()
            raise UserError(
                f"{url} gave another file than expected (SHA-256 {found} instead of {sha256}), and it was "
                "deleted; try again, and if it stays so get the file elsewhere"
            )
        part.replace(path)


def _fill(part: Path, url: str, pause: float) -> None:
    import requests

    failures = 0
    while True:
        before = _size(part)
        try:
            if _receive(part, url):
                return
            reason = "the connection ended early"
        except requests.RequestException as error:
            reason = _reason(error)
            if not _worth_a_retry(error):
                raise UserError(
                    f"{url} cannot be downloaded ({reason}); check the address, or get it elsewhere"
                ) from None
        failures = 1 if _size(part) > before else failures + 1
        if failures == TRIES:
            kept = f", which goes on after the {_size(part)} bytes in {part}" if _size(part) else ""
            raise UserError(
                f"{url} cannot be downloaded ({reason}); check the network and run the same command again{kept}"
            )
        wait = pause * 2 ** (failures - 1)
        print(f"{url}: {reason}; trying again in {wait:g} s", file=sys.stderr)
        time.sleep(wait)


def _receive(part: Path, url: str) -> bool:
    """Ask for what ``part`` still lacks and append it; whether the file is now whole."""
    import requests
    from tqdm import tqdm

    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as answer:
        if have and answer.status_code == requests.codes.requested_range_not_satisfiable:
            if _total(answer) == have:
                return True
            part.unlink()  # longer than the file: left over from another one
            return False
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content or _start(answer) != have:
            have = 0  # the server sends the whole file, whatever it was asked
        total = _total(answer)
        with (
            part.open("r+b" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=part.stem, unit="B", unit_scale=True) as progress,
        ):
            file.seek(have)
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
    return total is None or _size(part) == total


def _start(answer: "Response") -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(answer: "Response") -> int | None:
    found = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
    length = found[1] if found else answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _worth_a_retry(error: Exception) -> bool:
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in WORTH_A_RETRY
    return isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError))


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return " ".join(str(error).split())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def extract(archive: Path, folder: Path, pattern: str = "*") -> list[Path]:
    """Unpack the files of a zip or tar ``archive`` whose names match the glob ``pattern`` into ``folder``.

    Returns their paths, in the order of the archive. UserError names the archive and the member if one would leave
    ``folder``, is a link, a device or encrypted, stands there twice, or if together they unpack to more than
    ``MAX_BYTES`` or ``MAX_RATIO`` times the archive. What does not match is not touched, so it can do no harm.
    """
    budget = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    unpacked: list[Path] = []
    try:
        for name, trouble, opened in _members(archive):
            if not fnmatchcase(name, pattern):
                continue
            if trouble:
                raise UserError(f"{archive} is not safe: its member {name} is {trouble}; get the archive elsewhere")
            target = folder / _inside(name, archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, target.open("xb") as file:
                while chunk := source.read(CHUNK):
                    budget -= len(chunk)
                    if budget < 0:
                        raise UserError(
                            f"{archive} is not safe: at its member {name} it has unpacked to far more than "
                            "photographs take; get the archive elsewhere"
                        )
                    file.write(chunk)
            unpacked.append(target)
    except FileExistsError:
        raise UserError(f"{archive} is not safe: its member {name} stands there twice; get it elsewhere") from None
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's, not the archive's
        raise _damaged(archive, error) from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise _damaged(archive, error) from None
    return unpacked


def _members(archive: Path) -> Iterator[tuple[str, str, Callable[[], IO[bytes]]]]:
    """Name, what is wrong with it (or nothing), and how to open it, of every member that is not a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    yield info.filename.replace("\\", "/"), _zip_trouble(info), lambda i=info: packed.open(i)  # type: ignore[misc]
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as bundle:
            for member in bundle:
                if not member.isdir():
                    yield member.name, _tar_trouble(member), lambda m=member: bundle.extractfile(m)  # type: ignore[misc]
            while bundle.fileobj and bundle.fileobj.read(CHUNK):
                continue  # to the very end, where gzip keeps its checksum
    else:
        raise UserError(
            f"{archive} is neither a zip nor a tar archive (often a web page that was sent in its place); delete it "
            "and get the archive elsewhere"
        )


def _zip_trouble(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link" if kind == stat.S_IFLNK else "a device"
    return "encrypted" if info.flag_bits & 1 else ""


def _tar_trouble(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return ""
    return "a link" if member.issym() or member.islnk() else "a device"


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"the archive {archive} is damaged ({error}); delete it and run the same command again")


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or not path.parts:
        raise UserError(f"{archive} is not safe: its member {name} would be written outside; get the archive elsewhere")
    return path
