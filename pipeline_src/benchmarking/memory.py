"""Peak memory of exported files, each measured in a child process."""

import resource
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline_src.errors import UserError

MIB = 2**20
PARALLEL = 2  # children at a time; they do not disturb each other, because each measures its own memory


def peak_memory_mb(files: Iterable[Path], height: int, width: int, threads: int) -> dict[Path, float]:
    """Return the peak growth of resident memory, in MiB, while each file is loaded and upscales one image.

    Each child is forked from a server that has imported the shared modules, since importing them takes longer than most
    measurements.

    Args:
        files: models that :func:`pipeline_src.deployment.runtimes.load` opens.
        height: of the LR image, in pixels.
        width: of the LR image, in pixels.
        threads: number of threads of the runtime.

    Raises:
        UserError: if a file cannot be loaded or run, or its process crashes.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["pipeline_src.deployment.pixels", "pipeline_src.deployment.runtimes"])

    def measure(file: Path) -> float:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_send_growth, args=(sender, file, height, width, threads))
        child.start()
        sender.close()
        try:
            result: float | str = receiver.recv()
        except EOFError:
            child.join()
            result = f"exit status {child.exitcode}"
        if isinstance(result, str):
            raise UserError(f"{file} could not be run in a process of its own ({result}); export it again")
        return result

    files = list(files)
    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(files, pool.map(measure, files), strict=True))


def _send_growth(sender: Connection, file: Path, height: int, width: int, threads: int) -> None:
    try:
        sender.send(_growth(file, height, width, threads))
    except UserError as error:
        sender.send(str(error))


def _growth(file: Path, height: int, width: int, threads: int) -> float:
    """Measure in this process, after importing and calling once all code that does not belong to the model."""
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
    """Return the resident memory of this process in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, ru_maxrss of a forked child starts at its parent's value
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
