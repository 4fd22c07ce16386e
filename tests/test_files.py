"""Files and folders that are complete or absent, and the error for a full disk."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline_src import command
from pipeline_src.errors import UserError
from pipeline_src.files import read_json, whole_file, whole_files, whole_folder, write_json


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    with whole_file(tmp_path / "new" / "a.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_text("half")
        assert not (tmp_path / "new" / "a.png").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_failure_keeps_the_old_file_or_folder(tmp_path: Path, whole: Callable) -> None:
    target = tmp_path / "target"
    if whole is whole_folder:
        target.mkdir()
    else:
        target.write_text("old")

    def stop_halfway() -> None:
        with whole(target) as temporary:
            (temporary / "part" if whole is whole_folder else temporary).write_text("half")
            raise UserError("stop")

    with pytest.raises(UserError):
        stop_halfway()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert list(target.iterdir()) == [] if whole is whole_folder else target.read_text() == "old"


def test_a_folder_replaces_the_old_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with whole_folder(tmp_path / "out") as temporary:
            (temporary / name).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_the_error_for_a_full_disk_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        with whole_file(tmp_path / "train.h5"):
            raise OSError(errno.ENOSPC, "No space left on device")

    assert command.exit_status(write) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/train.h5: the disk is full; free some space and run the same command again\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full_is_a_user_error() -> None:
    code = (
        "from pipeline_src import command; import pathlib; f = lambda: pathlib.Path('/dev/full').write_text('x' * 9999)"
    )
    child = subprocess.run(
        [sys.executable, "-c", f"{code}; exit(command.exit_status(f))"], capture_output=True, text=True
    )
    assert child.returncode == 1
    assert child.stderr.startswith("error: the disk is full")


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


REMEDY = "run `python -m pipeline_src.stages.train abpn_x3`, or `dvc repro`"
POINTS = {"a": {2: Point(1, 0.5), 3: Point(-1)}}


@pytest.fixture
def points(tmp_path: Path) -> Path:
    write_json(tmp_path / "points.json", {"a": {2: {"x": 1, "y": 0.5}, 3: {"x": -1}}})
    return tmp_path / "points.json"


def test_json_is_read_as_the_type_that_is_asked_for(points: Path, tmp_path: Path) -> None:
    assert read_json(points, dict[str, dict[int, Point]], REMEDY) == POINTS
    write_json(tmp_path / "numbers.json", {"a": float("nan"), "b": float("inf"), "c": 1})
    numbers = read_json(tmp_path / "numbers.json", dict[str, float], REMEDY)
    assert str(numbers) == "{'a': nan, 'b': inf, 'c': 1.0}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"is not valid JSON \(EOF while parsing a value at line 1 column 0\)"),
        (b"\0" * 99, r"is not valid JSON \(expected value at line 1 column 1\)"),
        (b'{"a": {"2": {"x": 1, "y"', r"is not valid JSON \(EOF while parsing an object at line 1 column 24\)"),
        (b'{"\xff": {}}', "is not valid JSON .*invalid unicode"),
        (b"[]", "is damaged: Input should be an object"),
        (b'{"a": {"two": {"x": 1}}}', r"is damaged: a\.two\.\[key\]: Input should be a valid integer"),
        (b'{"a": {"2": {"x": "1"}}}', r"is damaged: a\.2\.x: Input should be a valid integer"),
        (b'{"a": {"2": {"x": 1.5}}}', r"is damaged: a\.2\.x: Input should be a valid integer"),
        (b'{"a": {"2": {"x": true}}}', r"is damaged: a\.2\.x: Input should be a valid integer"),
        (b'{"a": {"2": {"y": 1}}}', r"is damaged: a\.2\.x: Field required"),
        (b'{"a": {"2": null}}', r"is damaged: a\.2: Input should be an object"),
    ],
)
def test_json_that_is_damaged_is_one_sentence(points: Path, content: bytes, sentence: str) -> None:
    points.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as error:
        read_json(points, dict[str, dict[int, Point]], REMEDY)
    message = str(error.value)
    assert message.startswith(f"{points} is ")
    assert message.endswith(f"; {REMEDY}")
    assert "\n" not in message


def test_json_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_json(tmp_path / "no.json", dict[str, float], REMEDY)
    assert str(error.value) == f"{tmp_path / 'no.json'} does not exist; {REMEDY}"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_an_error_of_the_system_is_not_called_damage(
    points: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(OSError, match=r"points\.json") as error:
        read_json(points, dict[str, float], REMEDY)
    assert error.value.errno == number


def test_links_stay_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "file").write_text("old")
    for name in ("folder", "file"):
        (tmp_path / name).symlink_to(elsewhere / name)
    for content in ("new", "newer"):
        with whole_folder(tmp_path / "folder") as made:
            (made / "a").write_text(content)
        with whole_file(tmp_path / "file") as aside:
            aside.write_text(content)
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "file").is_symlink()
    assert (elsewhere / "folder/a").read_text() == (elsewhere / "file").read_text() == "newer"
    assert {path.name for path in [*tmp_path.iterdir(), *elsewhere.iterdir()]} == {"elsewhere", "folder", "file"}


def test_the_parts_of_a_file_appear_when_all_are_complete(tmp_path: Path) -> None:
    net = tmp_path / "net.xml"
    for content in ("old", "new"):
        with whole_files(net) as aside:
            for suffix in (".xml", ".bin", ".xml.json"):
                aside.with_name(f"net{suffix}").write_text(content)
            assert not net.exists() or net.read_text() == "old"
    with pytest.raises(FileNotFoundError), whole_files(net) as aside:
        aside.with_name("nowhere").joinpath("half").write_text("half")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("net.xml", "net.bin", "net.xml.json"), "new"
    )


def test_what_a_library_says_without_a_number_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.h5: unable to lock file$"), whole_file(tmp_path / "a.h5"):
        raise OSError("unable to lock file")
