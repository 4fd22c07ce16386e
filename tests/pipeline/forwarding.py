"""The launchers and the stages that they start, run by ``forked`` and not by processes that import everything again.

``folder()`` is for the front of PATH. Its ``dvc``, ``snakemake`` and ``python -m pipeline_src.…`` send their command to
this process, which runs it in a process of its own, and print and return what that one does. Other Python programs run
as ever.
"""

import functools
import json
import shlex
import socketserver
import sys
import tempfile
import threading
from pathlib import Path

import forked

SCRIPT = """#!/bin/sh
case "$1 $2" in {forwarded}) exec {python} -I -S {client} {socket} {module} "$@";; esac
exec {python} "$@"
"""
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    command = sys.argv[2:]
    command = command[1:] if command[0] == "-m" else command  # of python -m
    server.sendall(json.dumps([os.getcwd(), command, dict(os.environ)]).encode() + b"\\n")
    status, stdout, stderr = json.loads(server.makefile("rb").readline())
sys.stdout.write(stdout)
sys.stderr.write(stderr)
sys.exit(status)
"""


class Handler(socketserver.StreamRequestHandler):
    """Runs one command."""

    def handle(self) -> None:
        """Answer a folder, a command and its environment by its exit status and output."""
        folder, (module, *arguments), environment = json.loads(self.rfile.readline())
        done = forked.run(Path(folder), module, *arguments, environment=environment)
        self.wfile.write(json.dumps([done.returncode, done.stdout, done.stderr]).encode() + b"\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Runs commands side by side."""

    daemon_threads = True


@functools.cache
def folder() -> Path:
    """Start the server, and return the folder of the programs."""
    made = Path(tempfile.mkdtemp(prefix="forwarding"))
    threading.Thread(target=Server(str(made / "socket"), Handler).serve_forever, daemon=True).start()
    client = made / "client.py"
    client.write_text(CLIENT)
    python = shlex.quote(sys.executable)
    for name, forwarded, module in (
        ("python", '"-m pipeline_src"*', ""),
        ("dvc", "*", "dvc"),
        ("snakemake", "*", "snakemake"),
    ):
        program = made / name
        program.write_text(
            SCRIPT.format(forwarded=forwarded, python=python, client=client, socket=made / "socket", module=module)
        )
        program.chmod(0o755)
    return made
