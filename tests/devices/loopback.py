"""A board on this machine: an SSH server on the loopback."""

import os
import shutil
import socket
import subprocess
import time
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
    """

    folder: Path
    python: Path
    temporary: Path
    process: "subprocess.Popen[bytes]"

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


def key(file: Path) -> None:
    """Make a pair of keys."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)


def know(folder: Path, port: int, public_key: Path) -> None:
    """Let the client know this key as that of the server."""
    kind, digits = public_key.read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {digits}\n")


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(100):
        assert process.poll() is None, "the SSH server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the SSH server does not answer")
