"""Downloads that resume after an interruption.

No library is used for this, because pooch, fsspec and the retries of urllib3 all restart an interrupted download at
byte 0, and the archives here have up to 3.5 GB.
"""

import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src import files
from pipeline_src.errors import UserError
from pipeline_src.progress import progress_bar

# requests is imported on first use, because --help of a command must not wait for them.
if TYPE_CHECKING:
    from requests import Response

MAX_FAILURES = 4  # in a row without a new byte
CONNECT_TIMEOUT, READ_TIMEOUT = 15, 60  # seconds
CHUNK = 1 << 16  # bytes; also the most that an interruption loses
TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)

log = logging.getLogger(__name__)


def download(url: str, path: Path, sha256: str | None = None, pause: float = 1.0) -> None:
    """Download a file, completely and with the right checksum, or not at all.

    The bytes received so far are kept in ``path`` + ``.part``, and the next attempt or call requests only the rest. An
    existing file with the right checksum is kept.

    Args:
        url: address of the file.
        path: where the file goes.
        sha256: its hex checksum; None to accept any file.
        pause: seconds before the second attempt, doubled for each further one.

    Raises:
        UserError: if the file cannot be downloaded, or has another checksum.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with FileLock(path.with_name(path.name + ".lock")):  # several sets come from one archive
        if path.is_file() and (sha256 is None or files.sha256(path) == sha256):
            return
        _complete(part, url, pause)
        received = files.sha256(part) if sha256 else None
        if received != sha256:
            part.unlink()
            raise UserError(
                f"{url} gave another file than expected (SHA-256 {received} instead of {sha256}), and it was "
                "deleted; try again, and if that fails too, get the file elsewhere"
            )
        part.replace(path)


def _complete(part: Path, url: str, pause: float) -> None:
    """Request the rest of ``part`` until it is complete, or ``MAX_FAILURES`` requests in a row gave no new byte."""
    import requests

    failures = 0
    while True:
        size_before = _size(part)
        try:
            if _receive(part, url):
                return
            reason = "the connection ended early"
        except requests.RequestException as error:
            reason = reason_of(error)
            if not _is_transient(error):
                raise UserError(
                    f"{url} cannot be downloaded ({reason}); check the address, or get it elsewhere"
                ) from None
        failures = 1 if _size(part) > size_before else failures + 1
        if failures == MAX_FAILURES:
            kept = f", which continues after the {_size(part)} bytes in {part}" if _size(part) else ""
            raise UserError(
                f"{url} cannot be downloaded ({reason}); check the network and run the same command again{kept}"
            )
        wait = pause * 2 ** (failures - 1)
        log.warning("%s: %s; trying again in %g s", url, reason, wait)
        time.sleep(wait)


def _receive(part: Path, url: str) -> bool:
    """Request the missing bytes of ``part``, append them, and return whether the file is complete."""
    import requests

    offset = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as response:
        if offset and response.status_code == requests.codes.requested_range_not_satisfiable:
            if total_size(response) == offset:
                return True
            part.unlink()  # it is longer than the file, so it belongs to another one
            return False
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content or _range_start(response) != offset:
            offset = 0  # the server does not support ranges and sends the file from the beginning
        total = total_size(response)
        with (
            part.open("r+b" if offset else "wb") as file,
            progress_bar(None, part.stem, "B", total=total, initial=offset, unit_scale=True) as bar,
        ):
            file.seek(offset)
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return total is None or _size(part) == total


def _range_start(response: "Response") -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def total_size(response: "Response") -> int | None:
    """Return the size of the whole file in bytes, or None if the server does not say it."""
    match = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    length = match[1] if match else response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _is_transient(error: Exception) -> bool:
    """Return whether the same request may succeed later."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in TRANSIENT_STATUSES
    return isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError))


def reason_of(error: Exception) -> str:
    """Return why a request failed, as part of a sentence."""
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
