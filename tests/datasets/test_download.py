"""Downloads from a real server that cuts connections."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline_src.datasets import download as module
from pipeline_src.datasets.download import download
from pipeline_src.errors import UserError

CONTENT = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT``; a test sets after how many bytes each answer is cut, and the features the server lacks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.says_length = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.statuses:
            return self.send_error(self.server.statuses.pop(0))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if wanted and self.server.ranges else 200)
        if wanted and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if self.server.says_length:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[start:]
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)
        return None

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_complete_download_leaves_no_part(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "set.zip"
    download(server.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert not path.with_name("set.zip.part").exists()
    download(server.url, path, SHA256)
    assert len(server.asked) == 1  # what is there and right is not asked for again


def test_cut_connections_are_resumed_within_one_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 5]
    download(server.url, tmp_path / "set.zip", SHA256, pause=0)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    first = 100_000 // module.CHUNK * module.CHUNK
    assert server.asked == [None, f"bytes={first}-", f"bytes={first}-"]


def test_an_interrupted_download_is_resumed_by_the_next_call(server: Server, tmp_path: Path) -> None:
    path, part = tmp_path / "set.zip", tmp_path / "set.zip.part"
    server.cuts = [2 * module.CHUNK + 9] + [0] * module.MAX_FAILURES
    with pytest.raises(
        UserError, match=r"run the same command again, which continues after the 131072 bytes in .*\.part"
    ):
        download(server.url, path, SHA256, pause=0)
    assert not path.exists()
    assert part.read_bytes() == CONTENT[:131072]
    server.cuts, server.asked = [], []
    download(server.url, path, SHA256)
    assert server.asked == ["bytes=131072-"]
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_file_from_the_beginning(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    download(server.url, tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_server_may_omit_the_length_of_the_file(server: Server, tmp_path: Path) -> None:
    server.says_length = False
    download(server.url, tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"], ids=["complete", "too long"])
def test_a_part_that_is_complete_or_too_long_gives_the_right_file(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "set.zip.part").write_bytes(left)
    download(server.url, tmp_path / "set.zip", SHA256, pause=0)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_file_with_a_wrong_checksum_is_refused_and_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"set\.zip gave another file than expected \(SHA-256 {SHA256} instead of 0"):
        download(server.url, tmp_path / "set.zip", "0" * 64)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_busy_server_is_retried_and_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    download(server.url, tmp_path / "set.zip", SHA256, pause=0)
    assert len(server.asked) == 3
    server.statuses = [404]
    with pytest.raises(UserError, match="the server answers 404 Not Found"):
        download(server.url, tmp_path / "other.zip", pause=0)
    assert len(server.asked) == 4


def test_an_unreachable_server_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be downloaded \(the server cannot be reached\); check the network"):
        download("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", pause=0)
