"""Files and folders that are complete or absent, and the error for a full disk."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline_src import command
from pipeline_src.errors import UserError
from pipeline_src.files import whole_file, whole_folder


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
