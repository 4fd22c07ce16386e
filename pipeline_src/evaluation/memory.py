"""Peak memory of exported files, each measured in a process of its own."""

import resource
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline_src.errors import UserError

MIB = 2**20
AT_ONCE = 2  # what is measured is each process's own


def peak_memory_mb(files: Iterable[Path], height: int, width: int, threads: int) -> dict[Path, float]:
    """By how much resident memory (MiB) grows from before a file is loaded to the peak of upscaling one image.

    Each process is forked from a server that has imported what they share: that takes longer than most measurements.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["pipeline_src.deployment.pixels", "pipeline_src.deployment.runtimes"])

    def measure(file: Path) -> float:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_send_growth, args=(sender, file, height, width, threads))
        child.start()
        sender.close()
        try:
            found: float | str = receiver.recv()
        except EOFError:
            child.join()
            found = f"exit status {child.exitcode}"
        if isinstance(found, str):
            raise UserError(f"{file} could not be run in a process of its own ({found}); export it again")
        return found

    files = list(files)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(files, pool.map(measure, files), strict=True))


def _send_growth(sender: Connection, file: Path, height: int, width: int, threads: int) -> None:
    try:
        sender.send(_growth(file, height, width, threads))
    except UserError as error:
        sender.send(str(error))


def _growth(file: Path, height: int, width: int, threads: int) -> float:
    import numpy as np

    from pipeline_src.deployment import pixels, runtimes

    runtimes.import_for(file)
    pixels.from_nhwc(np.zeros((1, 4, 4, 3), np.float32))
    pixels.from_nchw(np.zeros((1, 3, 4, 4), np.float32))
    image = np.zeros((height, width, 3), np.uint8)
    before = resident()
    runtimes.load(file, threads)(image)
    return (peak() - before) / MIB


def resident() -> int:
    """The memory (bytes) that this process has now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most resident memory (bytes) this process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, ru_maxrss of a child begins at what its parent held when it forked
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
