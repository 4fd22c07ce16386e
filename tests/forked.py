"""Runs commands of the pipeline, each in a process of its own that has the libraries already.

Starting Python and importing torch, MLflow and the runtimes takes most of the time of a stage with a tiny training.
Here the processes are forked from a server that has imported them. A command runs as ``python -m`` runs it: with its
own working folder, environment, output and exit status, and with the package of the working folder if there is one.
"""

import atexit
import faulthandler
import functools
import os
import resource
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

from shared import ROOT

Completed = subprocess.CompletedProcess[str]

PACKAGE = "pipeline_src"
GRACE = 5.0  # seconds
LONGEST = 600.0  # seconds, after which a command hangs: it ends with the traceback of each of its threads


@dataclass
class Command:
    """A command that has been started.

    Attributes:
        process: the process that runs it.
        stdout: the file that its standard output goes to.
        stderr: the file that its errors go to.
    """

    process: BaseProcess
    stdout: Path
    stderr: Path

    def poll(self) -> int | None:
        """Return the exit status, negative after a signal; None while the command runs."""
        return self.process.exitcode

    def wait(self) -> int:
        """Wait for the end of the command, and return its exit status: that of an abort if the command hangs."""
        self.process.join(LONGEST)
        if self.process.is_alive():
            assert self.process.pid is not None
            os.kill(self.process.pid, signal.SIGABRT)
            self.process.join()
        assert self.process.exitcode is not None
        return self.process.exitcode

    def kill(self) -> None:
        """Kill the process, unless it has ended, and wait for its end."""
        self.process.kill()
        self.wait()

    def completed(self) -> Completed:
        """Wait for the end of the command, and return its exit status and output."""
        return subprocess.CompletedProcess([], self.wait(), self.stdout.read_text(), self.stderr.read_text())


def start(
    folder: Path, module: str, *arguments: str, environment: Mapping[str, str], limits: Mapping[int, int] | None = None
) -> Command:
    """Start ``python -m module arguments`` in a folder.

    Args:
        folder: the working folder.
        module: such as ``pipeline_src.stages.train``.
        arguments: of the command line.
        environment: all of its environment variables.
        limits: of ``resource.setrlimit``, by its constants; None for those of this process.
    """
    log = Path(tempfile.mkdtemp(prefix="command"))
    stdout, stderr = log / "stdout", log / "stderr"
    run_as = (folder, module, arguments, dict(environment), dict(limits or {}))
    process = _server().Process(target=_run, args=(*run_as, stdout, stderr))
    process.start()
    command = Command(process, stdout, stderr)
    weakref.finalize(command, shutil.rmtree, log)
    return command


def run(folder: Path, module: str, *arguments: str, environment: Mapping[str, str]) -> Completed:
    """Run ``python -m module arguments`` in a folder, as :func:`start` does, to its end."""
    return start(folder, module, *arguments, environment=environment).completed()


def run_two(folder: Path, module: str, *arguments: str, environment: Mapping[str, str]) -> tuple[Completed, Completed]:
    """Run a command in two processes that find each other as those of ``torchrun`` do, in the order of their ranks.

    As with torchrun, one that fails ends the other, which would wait for it; but it may end by itself first.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"TORCHELASTIC_RUN_ID": "two", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    first, second = (
        start(folder, module, *arguments, environment={**environment, **group, "RANK": rank, "LOCAL_RANK": rank})
        for rank in "01"
    )
    while running := [command for command in (first, second) if command.poll() is None]:
        failed = bool(first.poll() or second.poll())
        if not wait([command.process.sentinel for command in running], GRACE if failed else None):
            running[0].kill()
    return first.completed(), second.completed()


@functools.cache
def _server() -> ForkServerContext:
    """Start the server, in the place of one that a test of peak memory may have started."""
    context = get_context("forkserver")
    forkserver._forkserver._stop()
    context.set_forkserver_preload(["imported"])
    with patch.dict(os.environ, {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}):
        forkserver.ensure_running()
    return context


def _run(
    folder: Path,
    module: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    limits: dict[int, int],
    stdout: Path,
    stderr: Path,
) -> None:
    """Become the command; the process ends with this function."""
    for number, path in ((1, stdout), (2, stderr)):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    faulthandler.enable(2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.executable = shutil.which("python", path=environment.get("PATH")) or sys.executable
    if (folder / PACKAGE).is_dir():
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
    sys.argv = [module, *arguments]
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        for limit in limits:  # they are for the command, not for coverage, which writes its file at exit
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))
        atexit._run_exitfuncs()  # which multiprocessing leaves out
