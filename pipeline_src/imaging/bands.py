"""Threads for compiled loops that release the GIL.

Numba's own parallel loops are not used: their thread pool aborts a process that forks after using it (or, with the
workqueue layer, one that calls it from two threads), and its size is a global setting.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_bands(work: Callable[[int, int], object], rows: int, threads: int) -> None:
    """Split the rows 0..rows into ``threads`` bands and call ``work(first, last)`` on each in a thread.

    The calling thread works on the first band while the others start, which takes long on a virtual machine.
    """
    edges = [rows * band // threads for band in range(threads + 1)]
    if threads == 1:
        work(0, rows)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        futures = [pool.submit(work, *band) for band in itertools.pairwise(edges[1:])]
        work(*edges[:2])
        for future in futures:
            future.result()
