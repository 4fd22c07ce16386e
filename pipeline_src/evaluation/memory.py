"""Peak memory of one exported file, measured in a process of its own.

``python -m pipeline_src.evaluation.memory FILE HEIGHT WIDTH THREADS`` prints, in MiB, how far resident memory grows
from before the file is loaded, its runtime's library being imported already, to the peak of one upscaling.
"""

import resource
import subprocess
import sys
from pathlib import Path

from pipeline_src.errors import UserError

MIB = 2**20


def peak_memory_mb(file: Path, height: int, width: int, threads: int) -> float:
    """Growth of resident memory (MiB) by loading ``file`` and upscaling one image of the given size."""
    command = [sys.executable, "-m", __name__, str(file), str(height), str(width), str(threads)]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise UserError(f"{file} could not be run in a process of its own ({last}); export it again")
    return float(child.stdout)


def _main(file: Path, height: int, width: int, threads: int) -> None:
    import numpy as np
    import psutil

    from pipeline_src.deployment import pixels, runtimes

    runtimes.import_for(file)
    pixels.from_nhwc(np.zeros((1, 4, 4, 3), np.float32))
    pixels.from_nchw(np.zeros((1, 3, 4, 4), np.float32))
    image = np.zeros((height, width, 3), np.uint8)
    before = psutil.Process().memory_info().rss
    runtimes.load(file, threads)(image)
    print((_peak() - before) / MIB)


def _peak() -> int:
    """The most resident memory (bytes) this process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, ru_maxrss of a child begins at what its parent held when it forked
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
