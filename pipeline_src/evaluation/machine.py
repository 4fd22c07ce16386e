"""The machine and the versions that stand beside every measured number."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "onnxruntime", "openvino", "ai-edge-litert", "numpy", "pillow")


def describe(threads: int) -> dict[str, object]:
    """CPU model, cores, memory (GiB), system, versions, the threads used, and the time (UTC) of the measurement."""
    import psutil

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "threads": threads,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
