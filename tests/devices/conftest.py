"""A board on this machine: an SSH server on the loopback, and a Python that has NumPy and ai-edge-litert alone."""

import getpass
import importlib.util
import os
import socket
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from exported import SIZE, export
from loopback import SSHD, Server, key, know, wait_for

PACKAGES = ("numpy", "ai_edge_litert")


@pytest.fixture(scope="session")
def board_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment with links to some packages of this one, and return its Python."""
    folder = tmp_path_factory.mktemp("board") / "venv"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        installed = Path(spec.origin).parents[1]
        for path in installed.glob(f"{name}*"):
            if path.name in (name, f"{name}.libs") or path.suffix == ".dist-info":
                (packages / path.name).symlink_to(path)
    return folder / "bin" / "python"


@pytest.fixture
def server(tmp_path: Path, board_python: Path) -> Iterator[Server]:
    """Start the server; the test is skipped where none is installed."""
    if SSHD is None:
        pytest.skip("no SSH server is installed (on Debian: apt install openssh-server)")
    folder, temporary = tmp_path / "ssh", tmp_path / "temporary"
    for path in (folder, temporary):
        path.mkdir()
    for name in ("host", "user"):
        key(folder / name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "server").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nUsePAM no\n"
        f"StrictModes no\nPidFile none\nSetEnv TMPDIR={temporary}\nPermitRootLogin prohibit-password\n"
    )
    (folder / "client").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile none\n"
    )
    know(folder, port, folder / "host.pub")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server of Debian keeps its privileges apart
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.DEVNULL)
    wait_for(port, process)
    yield Server(folder, board_python, temporary, process)
    process.terminate()
    process.wait()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the net "small", ABPN ×3; tests must not change it."""
    folder = tmp_path_factory.mktemp("export")
    export("abpn", folder, SIZE)
    return folder
