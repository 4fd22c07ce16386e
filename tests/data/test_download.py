"""Downloads against a real server that cuts connections, and archives that mean harm."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline_src.data import download as module
from pipeline_src.data.download import download, extract
from pipeline_src.errors import UserError

CONTENT = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT``; a test says after how many bytes each answer is cut, and what the server cannot do."""

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


def test_a_whole_download_leaves_no_part(server: Server, tmp_path: Path) -> None:
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
    server.cuts = [2 * module.CHUNK + 9] + [0] * module.TRIES
    with pytest.raises(
        UserError, match=r"run the same command again, which goes on after the 131072 bytes in .*\.part"
    ):
        download(server.url, path, SHA256, pause=0)
    assert not path.exists()
    assert part.read_bytes() == CONTENT[:131072]
    server.cuts, server.asked = [], []
    download(server.url, path, SHA256)
    assert server.asked == ["bytes=131072-"]
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_the_file_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    download(server.url, tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_server_that_does_not_say_how_long_the_file_is(server: Server, tmp_path: Path) -> None:
    server.says_length = False
    download(server.url, tmp_path / "set.zip", SHA256)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"], ids=["complete", "too long"])
def test_a_part_that_leaves_nothing_to_ask_for(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "set.zip.part").write_bytes(left)
    download(server.url, tmp_path / "set.zip", SHA256, pause=0)
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"set\.zip gave another file than expected \(SHA-256 {SHA256} instead of 0"):
        download(server.url, tmp_path / "set.zip", "0" * 64)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    download(server.url, tmp_path / "set.zip", SHA256, pause=0)
    assert len(server.asked) == 3
    server.statuses = [404]
    with pytest.raises(UserError, match="the server answers 404 Not Found"):
        download(server.url, tmp_path / "other.zip", pause=0)
    assert len(server.asked) == 4


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be downloaded \(the server cannot be reached\); check the network"):
        download("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", pause=0)


def zipped(path: Path, members: dict[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def tarred(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_only_the_members_asked_for_are_unpacked(tmp_path: Path, pack: object) -> None:
    members = {"set/HR/a.png": b"a", "set/HR/b.png": b"b", "set/LR/a.png": b"c", "../../readme": b"d"}
    archive = pack(tmp_path / "set", members)  # type: ignore[operator]
    out = tmp_path / "out"
    assert extract(archive, out, "*/HR/*.png") == [out / "set/HR/a.png", out / "set/HR/b.png"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.png", "b.png", "set"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil.png", "set/../../evil.png", "/tmp/evil.png", "C:/evil.png"])
def test_members_that_leave_the_folder_are_refused(tmp_path: Path, pack: object, name: str) -> None:
    archive = pack(tmp_path / "bad", {"fine.png": b"", name: b"evil"})  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"bad is not safe: its member {name} would be written outside"):
        extract(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.png"))


def test_backslashes_separate_folders_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its member \.\./evil\.png would be written outside"):
        extract(zipped(tmp_path / "bad.zip", {"..\\evil.png": b"evil"}), tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    archive = tarred(tmp_path / "bad.tgz", {"a.png": b""}, kind, "/etc/passwd")
    with pytest.raises(UserError, match=rf"bad\.tgz is not safe: its member a\.png is {what}"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out/a.png").is_symlink()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its member a\.png is a link"):
        extract(zipped(tmp_path / "bad.zip", {"a.png": b"/etc/passwd"}, 0o120777), tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path, pack: object) -> None:
    archive = pack(tmp_path / "bomb", {"a.png": bytes(module.FREE_BYTES), "b.png": b"one more"})  # type: ignore[operator]
    with pytest.raises(UserError, match=r"bomb is not safe: at its member b\.png it has unpacked to far more"):
        extract(archive, tmp_path / "out")


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its member \./a\.png stands there twice"):
        extract(zipped(tmp_path / "bad.zip", {"a.png": b"1", "./a.png": b"2"}), tmp_path / "out")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_damaged_archive_and_a_web_page_are_refused(tmp_path: Path, pack: object) -> None:
    archive = pack(tmp_path / "cut", {"a.png": CONTENT, "b.png": CONTENT})  # type: ignore[operator]
    content = bytearray(archive.read_bytes())
    content[150_000:150_100] = bytes(100)
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"the archive .*cut is damaged .*; delete it and run"):
        extract(archive, tmp_path / "out")
    archive.write_text("<html>Please log in</html>")
    with pytest.raises(UserError, match="neither a zip nor a tar archive"):
        extract(archive, tmp_path / "out")


def test_a_cut_tar_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "cut.tgz", {"a.png": CONTENT, "b.png": CONTENT})
    archive.write_bytes(archive.read_bytes()[:-200_000])
    with pytest.raises(UserError, match=r"cut\.tgz is damaged"):
        extract(archive, tmp_path / "out")
