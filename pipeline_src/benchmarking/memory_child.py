"""Growth of the memory of this process, which :mod:`.memory` forks for each file.

Importing this module imports every runtime, and calls once all code that does not belong to a model, so that none of it
counts as the memory of a file.
"""

import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from pipeline_src.deployment import pixels, runtimes
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError

MIB = 2**20

for _format in FORMATS.values():
    _format.import_runtime()
pixels.from_nhwc(np.zeros((1, 4, 4, 3), np.float32))
pixels.from_nchw(np.zeros((1, 3, 4, 4), np.float32))


def send_growth(sender: Connection, file: Path, height: int, width: int, threads: int) -> None:
    """Send the growth of the peak memory, in MiB, while a file is loaded and upscales one image; or why it cannot."""
    try:
        runtimes.import_for(file)
        image = np.zeros((height, width, 3), np.uint8)
        before = resident()
        runtimes.load(file, threads)(image)
        sender.send((peak() - before) / MIB)
    except UserError as error:
        sender.send(str(error))
    except OSError as error:
        sender.send(error)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, ru_maxrss of a forked child starts at its parent's value
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
