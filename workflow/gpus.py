"""The GPUs of this machine: their number, and a command that runs on one of them which no other stage uses.

    python workflow/gpus.py dvc repro --single-item train@abpn_x3

torch is not imported: Snakemake asks for the number each time it starts, and torch takes seconds.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

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


def run_on_free_gpu(command: list[str]) -> None:
    """Replace this process by a command that sees one GPU; wait until one is free.

    The lock of the GPU is an open file that the command inherits, so it ends with the command, however that ends.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    files = {name: os.open(LOCKS / f"{name.replace('/', '-')}.lock", os.O_RDWR | os.O_CREAT) for name in devices()}
    while True:
        for name, file in files.items():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            os.set_inheritable(file, True)
            os.environ[VISIBLE] = name
            os.execvp(command[0], command)  # noqa: S606 (the command of the Snakefile)
        time.sleep(PAUSE)


if __name__ == "__main__":
    run_on_free_gpu(sys.argv[1:])
