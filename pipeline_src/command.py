"""Commands: parse arguments, run, and turn a user's mistake into one sentence."""

import argparse
import errno
import logging
import sys
from collections.abc import Callable
from typing import Any

from pipeline_src.errors import UserError


def exit_status(run: Callable[..., object], *args: Any) -> int:
    """Call ``run(*args)`` and return the exit status: 0, or 1 after printing a user's mistake as one sentence.

    Warnings of the pipeline go to stderr as sentences that begin with ``warning:``.
    """
    logging.addLevelName(logging.WARNING, "warning")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        run(*args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        print(f"error: the disk is full{where}; free some space and run the same command again", file=sys.stderr)
        return 1
    return 0


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
