"""Comparison of the image that an exported file gives on this machine with its reference image."""

import logging
from pathlib import Path

from pipeline_src.benchmarking.keys import FileKey, Row
from pipeline_src.deployment import reference, runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.imaging.images import read_image

log = logging.getLogger(__name__)


def agreement_row(file: Path, runner: runtimes.Runner, files: dict[Path, Card], threads: int) -> Row:
    """Compare the image that a file gives here with the reference image beside it.

    A file of fixed size with the same key is compared with this one, on an image of that size, and the row has the
    worse figures of the two comparisons. Logs a warning if these figures are too bad for the same net.

    Args:
        file: an exported file that accepts images of any size.
        runner: that file, opened.
        files: all exported files with their cards.
        threads: number of threads for the file of fixed size.

    Returns:
        The key of the file, and :meth:`~pipeline_src.deployment.reference.Agreement.columns`.
    """
    key = FileKey.of(files[file])
    lr, expected = read_image(file.with_name(reference.LR_FILE)), read_image(file.with_name(files[file].reference))
    fixed = (runtimes.load(one, threads) for one, card in files.items() if card.size and FileKey.of(card) == key)
    agreement = reference.of_file(runner, fixed, lr, expected).columns("here")
    if agreement["disagrees"]:
        log.warning("%s %s", key, agreement["disagrees"])
    return key.columns() | agreement
