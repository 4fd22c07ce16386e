"""The way to a board by SSH, and what can be wrong with it."""

import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
from loopback import Server, key, know

from pipeline_src.config import Device
from pipeline_src.devices import measuring, program
from pipeline_src.devices.ssh import Board
from pipeline_src.devices.transport import LostError, opened
from pipeline_src.errors import UserError


def board(server: Server, **changes: Any) -> Board:
    return Board("pi", Device(**server.entry(**changes)))


def test_files_are_put_commands_run_and_the_folder_goes(server: Server, tmp_path: Path) -> None:
    there = board(server)
    (tmp_path / "a file").write_text("of this machine\n")
    with opened(there):
        assert len(server.left()) == 1
        there.put({"a file": tmp_path / "a file", "below/another": b"bytes\n"})
        assert [*there.run("cat 'a file' below/another")] == ["of this machine\n", "bytes\n"]
    assert server.left() == []


def test_the_folder_goes_after_a_failure_and_after_ctrl_c(server: Server) -> None:
    for raised in (KeyboardInterrupt, UserError):
        with pytest.raises(raised), opened(board(server)):
            raise raised
        assert server.left() == []


def test_another_host_key_and_none_are_refused(server: Server) -> None:
    said = "the host key of board is not one that is known here; run `ssh board` once, and compare the fingerprint"
    key(server.folder / "other")
    port = int((server.folder / "known").read_text().split("]:")[1].split()[0])
    know(server.folder, port, server.folder / "other.pub")
    with pytest.raises(UserError, match=said):
        board(server).make()
    (server.folder / "known").write_text("")
    with pytest.raises(UserError, match=said):
        board(server).make()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ssh": "nobody@board"}, r"board refuses the login \(.*Permission denied \(publickey"),
        ({"ssh": "nowhere.invalid"}, r"nowhere\.invalid cannot be reached \(ssh: Could not resolve hostname"),
        ({"port": 1}, r"board cannot be reached \(ssh: connect to host 127\.0\.0\.1 port 1: Connection refused\)"),
    ],
)
def test_a_board_that_cannot_be_reached_is_told(server: Server, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        board(server, **changes).make()


def test_no_client_here_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="there is no ssh here; install OpenSSH's client"):
        board(server).make()


def test_a_full_disk_there_is_told(server: Server) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(server.temporary)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user cannot mount a small file system")
    try:
        there = board(server)
        with pytest.raises(UserError, match=r"its disk is full \(tar: .*\); free some space there"), opened(there):
            there.put({"large": bytes(100_000)})
        assert server.left() == []
    finally:
        subprocess.run(["umount", server.temporary], check=True)


def test_a_connection_that_is_lost_is_told(server: Server) -> None:
    there = board(server)
    with opened(there):
        lines = there.run("sh -c 'echo a; sleep 60'")
        assert next(lines) == "a\n"
        server.drop()
        with pytest.raises(LostError, match="device pi: board cannot be reached"):
            next(lines)


def test_a_python_that_is_missing_old_or_bare_is_told(server: Server) -> None:
    venv.create(server.folder / "bare", symlinks=True)
    for python, said in (
        ("/nowhere/python", r"it cannot run a command \(.*/nowhere/python: not found\); correct devices\.pi in params"),
        (str(server.folder / "bare/bin/python"), r"its Python has no NumPy; correct devices\.pi\.python"),
    ):
        there = board(server, python=python)
        with opened(there):
            there.put({program.NAME: program.build()})
            with pytest.raises(UserError, match=said):
                measuring.describe(there)


def test_a_home_folder_is_that_of_the_board(server: Server) -> None:
    there = board(server, python="~/no/such/python")
    with opened(there), pytest.raises(UserError, match=rf"{Path.home()}/no/such/python: not found"):
        measuring.describe(there)
