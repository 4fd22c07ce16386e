"""A board that OpenSSH's client reaches: with the keys, known hosts and settings that the user has for it."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from pipeline_src.config import Device
from pipeline_src.devices.transport import LostError, folder_name, refuse_failure
from pipeline_src.errors import UserError

# Given on the command line, these go before what ~/.ssh/config says. A connection that is silent for 15 s is lost.
OPTIONS = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
)  # fmt: skip
FAILED = 255  # exit status of ssh itself
REFUSED = ("Permission denied", "Too many authentication failures")


class Board:
    """A :class:`~pipeline_src.devices.transport.Transport` by ssh.

    Args:
        name: of the device in params.yaml.
        spec: its entry there, with ``ssh``.
    """

    def __init__(self, name: str, spec: Device) -> None:
        assert spec.ssh
        self.name, self.address, self._python = name, spec.ssh, spec.python
        self._folder = f'"${{TMPDIR:-/tmp}}"/{folder_name()}'
        self._ssh = ["ssh", "-T", *(part for option in OPTIONS for part in ("-o", option))]
        self._ssh += ["-p", str(spec.port)] if spec.port else []
        self._ssh += ["-F", str(Path(spec.config).expanduser())] if spec.config else []

    @property
    def python(self) -> str:
        """The Python there, as a word of its shell."""
        home, _, rest = self._python.partition("/")
        return f'"$HOME"/{quote(rest)}' if home == "~" else quote(self._python)

    def make(self) -> None:
        """Make the folder, for its owner alone."""
        self._do(f"umask 077; rm -rf {self._folder} && mkdir {self._folder}")

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Write files as an archive that ``tar`` unpacks there."""
        with self._running(f"cd {self._folder} && exec tar -x -m -f -") as process:
            assert process.stdin
            with tarfile.open(fileobj=process.stdin, mode="w|") as archive:
                for name, content in files.items():
                    data = content if isinstance(content, bytes) else content.read_bytes()
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))

    def run(self, command: str) -> Iterator[str]:
        """Run a command; its standard input ends when this program does, or the connection."""
        with self._running(f"cd {self._folder} && exec {command}") as process:
            assert process.stdout
            for line in process.stdout:
                yield line.decode(errors="replace")

    def remove(self) -> None:
        """Remove the folder."""
        self._do(f"rm -rf {self._folder}")

    def _do(self, script: str) -> None:
        with self._running(script):
            pass

    @contextmanager
    def _running(self, script: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a script of the shell there; at the end of the block wait for its end, and raise what went wrong."""
        command = [*self._ssh, "--", self.address, f"sh -c {quote(script)}"]
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            except FileNotFoundError:
                raise UserError("there is no ssh here; install OpenSSH's client (on Debian: openssh-client)") from None
            try:
                yield process
            except BrokenPipeError:  # what has ended there says why
                pass
            except BaseException:
                process.kill()
                process.wait()
                raise
            process.communicate()
            errors.seek(0)
            self._refuse(process.returncode, errors.read().decode(errors="replace"))

    def _refuse(self, status: int, said: str) -> None:
        """Raise what has gone wrong, if ``status`` is not 0."""
        if status != FAILED:
            refuse_failure(self.name, status, said)
            return
        if "host key" in said.lower():
            raise UserError(
                f"device {self.name}: the host key of {self.address} is not one that is known here; run "
                f"`ssh {self.address}` once, and compare the fingerprint that it shows with the board's"
            )
        reason = (said.strip().splitlines() or ["no reason given"])[-1].rstrip(".\r")
        if any(words in said for words in REFUSED):
            raise UserError(
                f"device {self.name}: {self.address} refuses the login ({reason}); put your key there with ssh-copy-id"
            )
        raise LostError(f"device {self.name}: {self.address} cannot be reached ({reason}); see that it is on")
