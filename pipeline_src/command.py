"""Commands: parse arguments, run, and turn a user's mistake into one sentence."""

import argparse
import errno
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

from pipeline_src.errors import UserError


class OneLine(logging.Formatter):
    """Writes a message in one line, with what cannot be printed escaped: names of files can hold anything."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """Return the line of a record."""
        return printable(super().formatMessage(record))


def printable(text: str) -> str:
    """Return ``text`` with line breaks, and what else cannot be printed, escaped as in Python."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def exit_status(run: Callable[..., object], *args: Any) -> int:
    """Call ``run(*args)`` and return the exit status: 0, or 1 after printing a user's mistake as one sentence.

    Warnings of the pipeline go to stderr as sentences that begin with ``warning:``. Ctrl-C ends with status 130.
    """
    logging.addLevelName(logging.WARNING, "warning")
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    _silence_torch()
    try:
        run(*args)
    except KeyboardInterrupt:
        return interrupted()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" while writing {printable(str(error.filename))}" if error.filename else ""
        print(f"error: the disk is full{where}; free some space and run the same command again", file=sys.stderr)
        return 1
    return 0


def interrupted() -> int:
    """Say that Ctrl-C has ended the command, and return its exit status, 130."""
    print("interrupted; files that were finished are whole", file=sys.stderr)
    return 130


def _silence_torch() -> None:
    """Hide what this version of torch says to the authors of torchao, once or more in every stage that quantises."""
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)


def count(text: str) -> int:
    """Return a whole number of 1 or more, as the type of an argument."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def stage(run: Callable[..., None], item: str | None = None) -> None:
    """Run one stage as a command: ``python -m pipeline_src.stages.<stage> [<item>]``, then exit.

    ``item`` names what the stage is repeated over ("system", "set"); ``run`` gets it as its one argument. The module
    docstring of ``run`` is the help text.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline_src.stages.{run.__name__}",
        description=sys.modules[run.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if item:
        parser.add_argument(item, help=f"a {item} of params.yaml")
    args = parser.parse_args()
    sys.exit(exit_status(run, *vars(args).values()))
