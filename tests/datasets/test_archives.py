"""Unpacking archives, and refusing harmful ones."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline_src.datasets import archives as module
from pipeline_src.datasets.archives import extract
from pipeline_src.errors import UserError

CONTENT = np.random.default_rng(1).bytes(300_000)


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
def test_only_members_that_match_the_pattern_are_unpacked(tmp_path: Path, pack: object) -> None:
    members = {"set/HR/a.png": b"a", "set/HR/b.png": b"b", "set/LR/a.png": b"c", "../../readme": b"d"}
    archive = pack(tmp_path / "set", members)  # type: ignore[operator]
    out = tmp_path / "out"
    assert extract(archive, out, "*/HR/*.png") == [out / "set/HR/a.png", out / "set/HR/b.png"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.png", "b.png", "set"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil.png", "set/../../evil.png", "/tmp/evil.png", "C:/evil.png"])
def test_members_outside_the_folder_are_refused(tmp_path: Path, pack: object, name: str) -> None:
    archive = pack(tmp_path / "bad", {"fine.png": b"", name: b"evil"})  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"bad is not safe: its member {name} would be written outside"):
        extract(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.png"))


def test_backslashes_separate_folders(tmp_path: Path) -> None:
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
def test_an_archive_bomb_is_refused(tmp_path: Path, pack: object) -> None:
    archive = pack(tmp_path / "bomb", {"a.png": bytes(module.FREE_BYTES), "b.png": b"one more"})  # type: ignore[operator]
    with pytest.raises(UserError, match=r"bomb is not safe: at its member b\.png it has unpacked to far more"):
        extract(archive, tmp_path / "out")


def test_a_member_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"its member \./a\.png occurs twice"):
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


def test_a_truncated_tar_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "cut.tgz", {"a.png": CONTENT, "b.png": CONTENT})
    archive.write_bytes(archive.read_bytes()[:-200_000])
    with pytest.raises(UserError, match=r"cut\.tgz is damaged"):
        extract(archive, tmp_path / "out")
