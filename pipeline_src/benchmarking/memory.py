"""Peak memory of exported files, each measured in a child process."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from pipeline_src.errors import UserError
from pipeline_src.files import require_open_files

CHILD = "pipeline_src.benchmarking.memory_child"
PARALLEL = 2  # children at a time; they do not disturb each other, because each measures its own memory
OPEN_FILES = 24  # more than the server, its pipes, and a runtime in a child open


def peak_memory_mb(files: Iterable[Path], height: int, width: int, threads: int) -> dict[Path, float]:
    """Return the peak growth of resident memory, in MiB, while each file is loaded and upscales one image.

    Each child is forked from a server that has imported :mod:`.memory_child`, and the main module, which every child
    imports again: imports take longer than most measurements.

    Args:
        files: models that :func:`pipeline_src.deployment.runtimes.load` opens.
        height: of the LR image, in pixels.
        width: of the LR image, in pixels.
        threads: number of threads of the runtime.

    Raises:
        UserError: if a file cannot be loaded or run, or its process crashes.
        OSError: if this process may not open the files that the server and the children need.
    """
    from pipeline_src.benchmarking.memory_child import send_growth

    require_open_files(OPEN_FILES)
    context = get_context("forkserver")
    main = getattr(sys.modules["__main__"], "__spec__", None)
    context.set_forkserver_preload([CHILD, *([main.name] if main else [])])

    def measure(file: Path) -> float:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=send_growth, args=(sender, file, height, width, threads))
        child.start()
        sender.close()
        try:
            result: float | str | OSError = receiver.recv()
        except EOFError:
            child.join()
            result = f"exit status {child.exitcode}"
        if isinstance(result, OSError):
            raise result
        if isinstance(result, str):
            raise UserError(f"{file} could not be run in a process of its own ({result}); export it again")
        return result

    files = list(files)
    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(files, pool.map(measure, files), strict=True))
