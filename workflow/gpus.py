"""The GPUs of this machine: their number, and a command that runs on some of them which no other stage uses.

    python workflow/gpus.py 1 dvc repro --single-item train@abpn_x3

torch is not imported: Snakemake asks for the number each time it starts, and torch takes seconds.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from shlex import quote

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = Path(".cache") / "gpus"
PAUSE = 1.0  # second between two looks for a free GPU


def devices() -> list[str]:
    """Return the NVIDIA GPUs that a stage may use, named as in ``CUDA_VISIBLE_DEVICES``.

    GPUs of other makers are not counted; ``snakemake report --resources gpu=1`` says how many there are of those.
    """
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name and not name.startswith("-")]
    return [str(number) for number in range(_count())]


def _count() -> int:
    if files := [*Path("/dev").glob("nvidia[0-9]*")]:
        return len(files)
    if not shutil.which("nvidia-smi"):  # under WSL the GPUs have no files
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def command(count: int) -> str:
    """Return what stands before a command that shall have ``count`` GPUs for itself; "" for none."""
    return f"python {quote(__file__)} {count} " if count else ""


def run_on_free_gpus(count: int, command: list[str]) -> None:
    """Replace this process by a command that sees ``count`` GPUs, or all if there are fewer; wait until they are free.

    The lock of a GPU is an open file that the command inherits, so it ends with the command, however that ends.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    files = {name: os.open(LOCKS / f"{name.replace('/', '-')}.lock", os.O_RDWR | os.O_CREAT) for name in devices()}
    while True:
        free = [name for name, file in files.items() if _taken(file)]
        if len(free) >= min(count, len(files)):
            break
        for name in free:  # or two commands could wait for each other's
            fcntl.flock(files[name], fcntl.LOCK_UN)
        time.sleep(PAUSE)
    for name in free[count:]:
        fcntl.flock(files[name], fcntl.LOCK_UN)
    for name in free[:count]:
        os.set_inheritable(files[name], True)
    os.environ[VISIBLE] = ",".join(free[:count])
    os.execvp(command[0], command)  # noqa: S606 (the command of the Snakefile)


def _taken(file: int) -> bool:
    """Take the lock of a GPU, and return whether it was free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    run_on_free_gpus(int(sys.argv[1]), sys.argv[2:])
