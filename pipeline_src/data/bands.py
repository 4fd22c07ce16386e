"""Threads for compiled loops that release the GIL.

Not Numba's own parallel loops: its thread pool aborts a process that forks after using it, or the workqueue one a
process that calls it from two threads, and its size is a global.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_bands(work: Callable[[int, int], object], rows: int, threads: int) -> None:
    """Call ``work(first, last)`` on ``threads`` bands that together are the rows 0..rows, each in a thread.

    The first is this thread: where threads wake late, as on a virtual machine, half of the work is done until then.
    """
    edges = [rows * band // threads for band in range(threads + 1)]
    if threads == 1:
        work(0, rows)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work, *band) for band in itertools.pairwise(edges[1:])]
        work(*edges[:2])
        for other in others:
            other.result()
