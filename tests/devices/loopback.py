"""A board on this machine: an SSH server on the loopback."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline_src.config import Device

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@dataclass
class Server:
    """The SSH server of the board.

    Attributes:
        folder: with its keys and settings, and those of the client.
        python: the Python of the board.
        temporary: the folder for temporary files there.
        process: the server.
        port: that it listens on.
    """

    folder: Path
    python: Path
    temporary: Path
    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def device(self) -> Device:
        """The entry of params.yaml."""
        return Device(ssh="board", config=str(self.folder / "client"), python=str(self.python))

    def entry(self, **changes: Any) -> dict[str, Any]:
        """Return the entry of params.yaml as YAML has it, with some keys changed."""
        return self.device.model_dump(include={"ssh", "config", "python"}) | changes

    def drop(self) -> None:
        """Kill the connections, as when a cable is pulled out; the server goes on."""
        for child in psutil.Process(self.process.pid).children():
            child.kill()

    def left(self) -> list[str]:
        """Return what lies in the folder for temporary files."""
        return sorted(path.name for path in self.temporary.iterdir())


@contextmanager
def started(folder: Path, python: Path, temporary: Path) -> Iterator[Server]:
    """Start the server with new keys, and end it at the end of the block.

    Args:
        folder: where its keys and settings are written, and those of the client.
        python: the Python of the board.
        temporary: the folder for temporary files there.
    """
    assert SSHD
    for path in (folder, temporary):
        path.mkdir()
    for name in ("host", "user"):
        key(folder / name)
    port = free_port()
    (folder / "server").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nUsePAM no\n"
        f"StrictModes no\nPidFile none\nSetEnv TMPDIR={temporary}\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    (folder / "client").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile none\n"
    )
    know(folder, port, folder / "host.pub")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server of Debian keeps its privileges apart
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield Server(folder, python, temporary, process, port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def key(file: Path) -> None:
    """Make a pair of keys."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)


def know(folder: Path, port: int, public_key: Path) -> None:
    """Let the client know this key as that of the server."""
    kind, digits = public_key.read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {digits}\n")


def wait_for(port: int, process: "subprocess.Popen[bytes]", seconds: float = 5.0) -> None:
    """Wait until a server accepts connections."""
    for _ in range(round(seconds / 0.05)):
        assert process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")
