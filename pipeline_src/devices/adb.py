"""A phone that Android's adb reaches, by USB or by a network."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from pipeline_src.config import Device
from pipeline_src.devices.transport import LostError, folder_name, refuse_failure
from pipeline_src.errors import UserError

FOLDER = "/data/local/tmp"  # where Android lets a program be run
GONE = ("not found", "offline", "no devices", "closed", "protocol fault", "failed to get feature set")
LOCKED = "unauthorized"


class Phone:
    """A :class:`~pipeline_src.devices.transport.Transport` by adb.

    Args:
        name: of the device in params.yaml.
        spec: its entry there, with ``adb``.
    """

    def __init__(self, name: str, spec: Device) -> None:
        assert spec.adb
        self.name, self._serial = name, spec.adb
        self.folder = f"{FOLDER}/{folder_name()}"

    def make(self) -> None:
        """Make the folder."""
        self._shell(f"rm -rf {self.folder} && mkdir {self.folder}")

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Write files, in one push."""
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                file = Path(scratch) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    file.write_bytes(content)
                else:
                    shutil.copy(content, file)
            self._adb("push", f"{scratch}/.", f"{self.folder}/")

    def run(self, command: str) -> Iterator[str]:
        """Run a command, and yield the lines of its output and its errors when it has ended."""
        yield from self._shell(f"cd {self.folder} && {{ {command} ; }} 2>&1").splitlines()

    def get(self, name: str) -> bytes:
        """Return the content of a file of the folder; nothing if there is no such file."""
        return self._adb("exec-out", f"cat {self.folder}/{quote(name)} 2>/dev/null || true")

    def remove(self) -> None:
        """Remove the folder."""
        self._shell(f"rm -rf {self.folder}")

    def _shell(self, script: str) -> str:
        return self._adb("shell", script).decode(errors="replace")

    def _adb(self, *arguments: str) -> bytes:
        command = ["adb", "-s", self._serial, *arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except FileNotFoundError:
            raise UserError("there is no adb here; install Android's platform tools (on Debian: adb)") from None
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode and LOCKED in said:
            raise UserError(f"device {self.name}: the phone does not trust this machine; allow USB debugging on it")
        if done.returncode and said.startswith(("error:", "adb:")) and any(words in said for words in GONE):
            raise LostError(f"device {self.name}: adb does not reach it ({said.splitlines()[0]}); see `adb devices`")
        refuse_failure(self.name, done.returncode, said or done.stdout.decode(errors="replace"))
        return done.stdout
