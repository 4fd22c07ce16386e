"""The resident memory of this process: now, and at its peak."""

import resource
import sys
from pathlib import Path

MIB = 2**20
STATUS = Path("/proc/self/status")


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    if STATUS.exists():
        return _status("VmRSS")
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    if STATUS.exists():  # on Linux, ru_maxrss of a forked child starts at its parent's value
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
