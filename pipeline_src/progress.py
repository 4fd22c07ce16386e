"""Progress of long work: a bar where stderr is a terminal, or a line in a file for a launcher of many stages."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

VARIABLE = "SR_PROGRESS"  # names the file
LINE = "{desc}: {percentage:.0f} % ({n_fmt}/{total_fmt} {unit}, {remaining} left){postfix}"


class _LatestLine:
    """What a bar writes to in place of a terminal: a file of its latest line, which is gone when the bar has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, text: str) -> None:
        if line := text.strip():
            self.path.write_text(line, encoding="utf-8")
        else:
            self.path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Do nothing: every line is written at once."""


def progress_bar(
    items: Iterable[Any] | None, name: str, unit: str, enabled: bool = True, **options: Any
) -> "tqdm[Any]":
    """Return a bar of tqdm that counts ``items``, or what it is told by ``update``.

    It is on stderr, and nowhere if that is no terminal. Where the environment variable ``SR_PROGRESS`` names a file, as
    the Snakefile sets it for each stage, it is the one line of that file instead.

    Args:
        items: what is counted; None to count by ``update``.
        name: of the work, in front of the bar.
        unit: what is counted.
        enabled: whether to show it at all.
        **options: other arguments of tqdm, such as ``total``.
    """
    from tqdm import tqdm

    if file := os.environ.get(VARIABLE):
        options |= {"file": _LatestLine(Path(file)), "bar_format": LINE, "leave": False}
    disable = None if enabled else True  # None: where the file is no terminal
    return tqdm(items, name, unit=unit, mininterval=1, disable=disable, **options)
