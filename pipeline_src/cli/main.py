"""The console script ``superres``: one subcommand for each module that ``COMMANDS`` names.

A subcommand is a module of this package with ``add_arguments(parser)`` and ``run(args)``; its docstring is its help. It
is imported only when it is called, so that ``superres --help`` answers at once. Little is imported with this module
itself, because Ctrl-C during its import, before :func:`main` runs, would show a traceback.
"""

import argparse
import importlib
import keyword
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_NAME = 255  # bytes, of a file on all common file systems
DISTRIBUTION = "super-resolution-pipeline"
COMMANDS = {  # the module, and what it does in a few words
    "upscale": "upscale photographs",
    "models": "list the nets that can be used here",
    "pick": "choose the best file of a run within a budget of milliseconds",
    "compare": "say what became better or worse between two states",
    "runs": "list what MLflow keeps of states that no commit has, or delete it",
    "downscale": "make small images, by bicubic or such that an upscaler rebuilds the large ones",
    "evaluate": "measure PSNR and SSIM on a folder of images",
    "export": "write one file of a net for a runtime",
    "import": "make weights of a published checkpoint",
    "preset": "check params.yaml, layer presets over it, or take them off again",
}


def module_of(command: str) -> str:
    """Return the name of a subcommand's module, with a ``_`` after it where it is a word of Python (``import``)."""
    return f"{command}_" if keyword.iskeyword(command) else command


class Version(argparse.Action):
    """Print the version of the installed package, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print the version and exit."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"superres {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            parser.exit(1, f"error: {DISTRIBUTION} is not installed; run `pip install -e .` in the repository\n")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``superres`` and exit.

    The status is 0, 1 after a user's mistake, 2 after a wrong option, or 130 after Ctrl-C. A module whose ``run``
    returns a status has another one for mistakes, ``MISTAKE``.

    Args:
        arguments: The subcommand and its arguments; those of the process by default.
    """
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        from pipeline_src.command import interrupted

        sys.exit(interrupted())


def _run(arguments: Sequence[str]) -> NoReturn:
    if arguments and arguments[0] in COMMANDS:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # NumPy takes it for a damaged installation
        command = importlib.import_module(f"pipeline_src.cli.{module_of(arguments[0])}")
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        mistake = getattr(command, "MISTAKE", 1)
        run_command(arguments[0], command.__doc__, command.add_arguments, command.run, arguments[1:], mistake)
    parser = argparse.ArgumentParser(
        prog="superres",
        usage="superres [-h] [--version] command ...",
        description="Train, measure and use super-resolution networks.",
        epilog="commands:\n" + "\n".join(f"  {name:10}  {summary}" for name, summary in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="command", help=argparse.SUPPRESS)
    for name in COMMANDS:
        commands.add_parser(name)
    parser.parse_args(arguments)
    raise AssertionError("argparse accepted an unknown command")


def filled(value: str) -> str:
    """Return a text that can be a name, as the type of an argument: neither empty nor too long."""
    if not value:
        raise argparse.ArgumentTypeError("the name is empty; give one (a variable of the shell may be unset)")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in value.split("/")):
        raise argparse.ArgumentTypeError(f"a name of a file has at most {LONGEST_NAME} bytes; shorten {value[:20]}…")
    return value


def filled_path(value: str) -> "Path":
    """Return a path that is not empty, as the type of an argument: an empty one would mean the current folder."""
    from pathlib import Path

    return Path(filled(value))


def run_command(
    name: str,
    description: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
    mistake: int = 1,
) -> NoReturn:
    """Parse the arguments of one subcommand, run it, and exit; those of the process by default.

    The status is what ``run`` returns, or ``mistake`` after a user's mistake.
    """
    from pipeline_src.command import exit_status

    parser = argparse.ArgumentParser(
        prog=f"superres {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    sys.exit(exit_status(lambda: run(parser.parse_args(arguments)), mistake=mistake))
