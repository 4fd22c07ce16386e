"""Lets one Snakemake at a time run the stages of a folder.

Snakemake's own lock is a file that stays when its process is killed, and then blocks the next run until somebody
deletes it. This one ends with its process, however that ends.
"""

import fcntl
import os
import sys
import time
from pathlib import Path

from dvc_stages import remove_damaged_list, running

LOCK = Path(".cache") / "snakemake.lock"

_held: list[int] = []  # the open lock file, for as long as this process lives


def refuse_a_second() -> None:
    """Take the lock of this folder.

    Raises:
        SystemExit: with one sentence, if another process has it.
    """
    LOCK.parent.mkdir(exist_ok=True)
    file = os.open(LOCK, os.O_RDWR | os.O_CREAT)  # the processes of stages do not inherit it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 20).decode() or "of another machine"
        raise SystemExit(
            f"error: another snakemake (process {holder}) runs stages in this folder; wait for its end, or end it"
        ) from None
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    _held.append(file)


def wait_for_others() -> None:
    """Wait until no stage runs in this folder: those of a Snakemake that was killed go on to their ends, as ever."""
    remove_damaged_list(Path.cwd())
    if processes := running(Path.cwd()):
        listed = ", ".join(map(str, sorted(processes)))
        print(f"waiting for the stages that an earlier run has left (processes {listed})", file=sys.stderr)
    while running(Path.cwd()):
        time.sleep(0.5)
