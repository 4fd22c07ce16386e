"""The machine and the library versions that are recorded with every measurement."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipeline_src.deployment.formats import FORMATS

# The CPU features that decide how int8 and half floats are computed, in the spelling of /proc/cpuinfo.
FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
LIBRARIES = ("torch", *dict.fromkeys(file_format.RUNTIME for file_format in FORMATS.values()), "numpy", "pillow")


def describe(threads: int) -> dict[str, object]:
    """Return CPU model and features, cores, memory in GiB, system, versions, ``threads``, and the time in UTC."""
    import psutil

    flags = _cpuinfo("flags", "Features").split()
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpu_features": " ".join(name for name in FEATURES if name in flags) or "unknown",
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "threads": threads,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpuinfo(*names: str) -> str:
    """Return the value of the first line of /proc/cpuinfo with one of these names, or ""."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
