"""Commands: parse arguments, run, and turn a user's mistake into one sentence."""

import argparse
import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline_src.errors import UserError, is_out_of_memory
from pipeline_src.unchanged import Inputs

AGAIN = "run the same command again"
NO_MEMORY = (
    "there is not enough memory; end other programs, or lower what takes it: batch and patch in params.yaml, --tile or "
    "--threads of a command"
)
MOST_THREADS = 1024
DENIED = "permission is denied", "change who may read and write it, or run the command as its owner"
TOO_MANY = "too many files are open", f"raise the limit with `ulimit -n` and {AGAIN}"
REASONS = {  # what an error of the operating system means, and what to do
    errno.ENOSPC: ("the disk is full", f"free some space and {AGAIN}"),
    errno.EDQUOT: ("your share of the disk is used up", f"free some space and {AGAIN}"),
    errno.EFBIG: ("the file grew over the limit of file sizes", f"raise it with `ulimit -f` and {AGAIN}"),
    errno.EMFILE: TOO_MANY,
    errno.ENFILE: TOO_MANY,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.EROFS: ("the file system can only be read", "choose another folder, or mount it for writing"),
    errno.ENOENT: ("there is no such file or folder", "run the stage that makes it first, or correct the path"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "move that file away, or correct the path"),
    errno.EISDIR: ("this is a folder, not a file", "move it away, or correct the path"),
    errno.EEXIST: ("this exists already", "move it away, or choose another name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EIO: ("the disk cannot be read or written", f"check it and {AGAIN}"),
}


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


def exit_status(run: Callable[..., object], *args: Any, mistake: int = 1) -> int:
    """Call ``run(*args)`` and return the exit status: a number that it returns, or else 0.

    A user's mistake is printed as one sentence, and the status is ``mistake``.

    So is an error of the operating system, whichever library met it, and a lack of memory. Warnings of the pipeline go
    to stderr as sentences that begin with ``warning:``. Ctrl-C ends with status 130.
    """
    _prepare_streams()
    logging.addLevelName(logging.WARNING, "warning")
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    _silence_torch()
    try:
        status = run(*args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return interrupted()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return mistake
    except BrokenPipeError:  # as in `superres models | head`: nobody reads on, which is no mistake
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's flush at its end
        return 0
    except OSError as error:
        print(f"error: {printable(sentence(error))}", file=sys.stderr)
        return mistake
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {NO_MEMORY}", file=sys.stderr)
        return mistake
    return status if isinstance(status, int) else 0


def _prepare_streams() -> None:
    """Open the standard streams that are closed, as under some daemons, and escape what their encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # for as long as the process lives
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def sentence(error: OSError) -> str:
    """Return what has happened, to which file, and what to do, for an error of the operating system."""
    files = " → ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes))
    if error.errno not in REASONS:
        return f"{files}: {error.strerror}" if files and error.strerror else str(error) or type(error).__name__
    reason, advice = REASONS[error.errno]
    return f"{files}: {reason}; {advice}" if files else f"{reason}; {advice}"


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


def positive(text: str) -> float:
    """Return a number above 0, as the type of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def threads(text: str) -> int:
    """Return a number of threads, as the type of an argument."""
    number = count(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"there can be {MOST_THREADS} threads at most, not {text}")
    return number


def stage(run: Callable[..., None], item: str | None = None) -> None:
    """Run one stage as a command: ``python -m pipeline_src.stages.<stage> [<item>]``, then exit.

    ``item`` names what the stage is repeated over ("system", "set"); ``run`` gets it as its one argument. Under DVC it
    may be left out. The module docstring of ``run`` is the help text. A stage whose params or code are edited while it
    runs fails at its end, see :mod:`pipeline_src.unchanged`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline_src.stages.{run.__name__}",
        description=sys.modules[run.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if item:
        by_dvc = _item_by_dvc(run.__name__)
        parser.add_argument(item, help=f"a {item} of params.yaml", nargs="?" if by_dvc else None, default=by_dvc)

    def run_unchanged() -> None:
        arguments = [*vars(parser.parse_args()).values()]
        inputs = Inputs(run.__name__, arguments[0] if item else None)
        run(*arguments)
        inputs.refuse_changes()

    sys.exit(exit_status(run_unchanged))


def _item_by_dvc(stage_name: str) -> str:
    """Return what DVC runs a stage for, ``abpn_x3`` where DVC_STAGE is ``train@abpn_x3``; "" if it runs another one."""
    name, _, item = os.environ.get("DVC_STAGE", "").rpartition("dvc.yaml:")[2].partition("@")
    return item if name == stage_name else ""
