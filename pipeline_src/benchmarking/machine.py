"""The machine and the library versions that are recorded with every measurement."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from pipeline_src.benchmarking import cpu
from pipeline_src.deployment.formats import FORMATS

LIBRARIES = ("torch", *dict.fromkeys(file_format.RUNTIME for file_format in FORMATS.values()), "numpy", "pillow")


def describe(threads: int) -> dict[str, object]:
    """Return CPU model and features, cores, memory in GiB, system, versions, ``threads``, and the time in UTC."""
    import psutil

    return {
        "cpu": cpu.model(),
        "cpu_features": cpu.features(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "threads": threads,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
