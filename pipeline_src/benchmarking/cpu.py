"""The CPU: its name, the features that decide how it computes, its temperature and its frequency."""

import platform
from pathlib import Path

# The CPU features that decide how int8 and half floats are computed, in the spelling of /proc/cpuinfo.
FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
SYSTEM = Path("/sys")
BOARD = Path("/proc/device-tree/model")  # such as Raspberry Pi 5 Model B Rev 1.0, where /proc/cpuinfo names no CPU


def model() -> str:
    """Return the name of the CPU, or of the board, or else the architecture."""
    board = BOARD.read_text().strip("\0\n ") if BOARD.exists() else ""
    return _cpuinfo("model name") or board or platform.processor() or platform.machine()


def features() -> str:
    """Return those of :data:`FEATURES` that the CPU has, separated by spaces, or ``unknown``."""
    flags = _cpuinfo("flags", "Features").split()
    return " ".join(name for name in FEATURES if name in flags) or "unknown"


def celsius(system: Path = SYSTEM) -> float | None:
    """Return the temperature of the hottest thermal zone in °C; None where the system shows none."""
    values = _numbers(system, "class/thermal/thermal_zone*/temp")
    return max(values) / 1000 if values else None


def megahertz(system: Path = SYSTEM) -> float | None:
    """Return the frequency of the fastest core in MHz; None where the system shows none."""
    values = _numbers(system, "devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")
    return max(values) / 1000 if values else None


def _numbers(system: Path, pattern: str) -> list[int]:
    """Return the numbers in the files that match a pattern, of those that can be read: a sensor may be switched off."""
    numbers = []
    for file in system.glob(pattern):
        try:
            numbers.append(int(file.read_text()))
        except (OSError, ValueError):
            continue
    return numbers


def _cpuinfo(*names: str) -> str:
    """Return the value of the first line of /proc/cpuinfo with one of these names, or ""."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
