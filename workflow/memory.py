"""The memory that stages side by side may take on this machine."""

from pathlib import Path

import psutil

FOR_STAGES = 0.9  # of the memory; the rest is for the system, Snakemake and DVC
CGROUP = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, in the two versions of cgroups


def megabytes(cgroup: Path = CGROUP) -> int:
    """Return the megabytes that all stages together may take: most of the machine's, or of the container's limit.

    Args:
        cgroup: where the limits of the container stand.
    """
    texts = [(cgroup / name).read_text().strip() for name in LIMITS if (cgroup / name).is_file()]
    limits = [int(text) for text in texts if text.isdecimal()]  # "max" is none
    return int(FOR_STAGES * min([psutil.virtual_memory().total, *limits]) / 2**20)
