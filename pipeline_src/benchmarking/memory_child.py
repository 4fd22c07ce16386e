"""Growth of the memory of this process, which :mod:`.memory` forks for each file.

Importing this module imports every runtime, and calls once all code that does not belong to a model, so that none of it
counts as the memory of a file.
"""

from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from pipeline_src.benchmarking.resident import MIB, peak, resident
from pipeline_src.deployment import pixels, runtimes
from pipeline_src.deployment.formats import FORMATS
from pipeline_src.errors import UserError

for _format in FORMATS.values():
    _format.import_runtime()
pixels.from_nhwc(np.zeros((1, 4, 4, 3), np.float32))
pixels.from_nchw(np.zeros((1, 3, 4, 4), np.float32))


def send_growth(sender: Connection, file: Path, height: int, width: int, threads: int) -> None:
    """Send the growth of the peak memory, in MiB, while a file is loaded and upscales one image; or why it cannot."""
    try:
        runtimes.import_for(file)
        image = np.zeros((height, width, 3), np.uint8)
        before = resident()
        runtimes.load(file, threads)(image)
        sender.send((peak() - before) / MIB)
    except UserError as error:
        sender.send(str(error))
    except OSError as error:
        sender.send(error)
