"""The way to a device: a folder there, files that are put into it, and commands that run in it."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pipeline_src.errors import UserError

RETRIES = 3  # in a row, without anything new in between
PAUSE = 5.0  # seconds before each

FULL = ("No space left on device", "Disk quota exceeded", "Wrote only")  # the last is of GNU tar
MISSING = (126, 127)  # exit statuses of a shell: a command that is not there, or cannot be run

log = logging.getLogger(__name__)


class LostError(UserError):
    """The device cannot be reached, or no longer."""


class Transport(Protocol):
    """A device with a temporary folder. Every method raises LostError, or UserError for what else a user can mend."""

    name: str

    def make(self) -> None:
        """Make the folder, empty, whatever a lost connection has left of it."""

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Write files, or what is to be in them, by their names in the folder."""

    def run(self, command: str) -> Iterator[str]:
        """Run a command of the device's shell in the folder, and yield the lines of its output as they come."""

    def remove(self) -> None:
        """Remove the folder."""


def folder_name() -> str:
    """Return a name that no other folder has."""
    return f"superres-{secrets.token_hex(8)}"


def refuse_failure(name: str, status: int, said: str) -> None:
    """Raise UserError for a command that has failed on a device.

    Args:
        name: of the device.
        status: exit status of the command; 0 is no failure.
        said: what it printed as its errors.
    """
    if not status:
        return
    lines = said.strip().splitlines() or ["it gives no reason"]
    last = lines[-1]
    if full := [line for line in lines if any(words in line for words in FULL)]:
        raise UserError(f"device {name}: its disk is full ({full[0]}); free some space there, or set TMPDIR there")
    if status in MISSING:
        raise UserError(f"device {name}: it cannot run a command ({last}); correct devices.{name} in params.yaml")
    raise UserError(f"device {name}: a command ended with exit status {status} ({last}); run the stage again")


@contextmanager
def opened(device: Transport) -> Iterator[None]:
    """Make the folder on a device, and remove it at the end, however the block ends."""
    device.make()
    try:
        yield
    finally:
        try:
            device.remove()
        except UserError as error:
            log.warning("the temporary folder on %s could not be removed: %s", device.name, error)


def persist(device: Transport, work: Callable[[], None], progress: Callable[[], int]) -> None:
    """Do work in the folder of a device, and again where the connection was lost.

    Args:
        device: the device.
        work: to be done when the folder is there; the second time it does what is left.
        progress: returns how much has been done.

    Raises:
        UserError: if the device cannot be reached at all, or the connection was lost once more than :data:`RETRIES`
            times without progress.
    """
    lost = reached = 0
    while True:
        done = progress()
        try:
            with opened(device):
                reached += 1
                work()
            return
        except LostError as error:
            if not reached:
                raise
            lost = 1 if progress() > done else lost + 1
            if lost > RETRIES:
                raise UserError(
                    f"{error}; {RETRIES} retries did not help, so run the stage again, which goes on at the next file"
                ) from None
            log.warning("%s; retry %d of %d", error, lost, RETRIES)
            time.sleep(PAUSE)
