"""The tracking server of docs/scaling.md on loopback: its blocks as they stand, but for the folder and the ports."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shared import ROOT

SECTION = "## A tracking server for a team"
BLOCKS = ("secrets", "database", "bucket", "server", "account", "client", "certificate", "tls server", "tls client")
# Ends all when its standard input is closed: by the test, or because the test has been killed.
GUARD = """
read -r
for file in "$1"/*.pid; do kill -KILL -- -"$(cat "$file")"; done
kill -QUIT "$(head -n 1 "$1/database/postmaster.pid")"
rm -rf "$1"
"""


def missing() -> str:
    """Return what is missing on this machine to start the server, or nothing."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return "no PostgreSQL is installed (on Debian: apt install postgresql)"
    if not shutil.which("moto_server", path=Path(sys.executable).parent):
        return "moto is not installed (make scaling)"
    return ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def blocks() -> dict[str, str]:
    """Return the commands of the section by their names, and as ``gc`` those of the last block with `mlflow gc`."""
    section = (ROOT / "docs" / "scaling.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", section, flags=re.MULTILINE)
    texts = [textwrap.dedent(text).strip("\n") + "\n" for text in found]
    (gc,) = [text for text in texts if "mlflow gc" in text]
    return dict(zip(BLOCKS, texts, strict=False)) | {"gc": gc}


@dataclass
class TrackingServer:
    """PostgreSQL, an S3 server and MLflow, as the blocks of the docs start them.

    Attributes:
        folder: in the place of ``/srv/mlflow``.
        ports: of PostgreSQL, MLflow, MLflow with TLS, and S3.
        processes: by the block that started them.
    """

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {n: free_port() for n in ("5433", "5000", "tls", "9000")})
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.ports['5000']}"

    @property
    def tls_uri(self) -> str:
        return f"https://localhost:{self.ports['tls']}"

    def commands(self, name: str) -> str:
        """Return the commands of a block, with this folder and these ports."""
        text = blocks()[name].replace("/srv/mlflow", str(self.folder))
        mlflow = self.ports["tls" if name.startswith("tls") else "5000"]
        for port, own in (("5433", self.ports["5433"]), ("5000", mlflow), ("9000", self.ports["9000"])):
            text = re.sub(rf"(?<=\D){port}\b", str(own), text)
        return text

    def run(self, name: str, as_owner: bool = False) -> str:
        """Run a block to its end, and return what it prints."""
        command = [*(self._as_owner() if as_owner else []), "bash", "-euc", self.commands(name)]
        done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start(self, name: str = "server") -> None:
        """Run the block of a server, and wait until it answers."""
        self._popen(name, "bash", "-euc", self.commands(name))
        port = self.ports["tls" if name.startswith("tls") else "5000"]
        self._wait_for(name, f"http{'s' * name.startswith('tls')}://127.0.0.1:{port}/health")

    def stop(self, name: str = "server") -> None:
        """End a server as an administrator does."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)

    def start_storage(self) -> None:
        """Start the S3 server, which keeps everything in its memory."""
        port = self.ports["9000"]
        self._popen("storage", sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
        self._wait_for("storage", f"http://127.0.0.1:{port}/moto-api/")

    def start_database(self) -> None:
        """Start PostgreSQL, which the block has set up."""
        text = self.commands("database")
        self._pg_ctl(text[text.index("pg_ctl") : text.index(". ./server.env")])

    def stop_database(self) -> None:
        """Stop PostgreSQL as an administrator does."""
        self._pg_ctl("pg_ctl --pgdata database --mode fast --wait stop")

    def _pg_ctl(self, command: str) -> None:
        text = self.commands("database")
        shell = [*self._as_owner(), "bash", "-euc", text[: text.index("initdb")] + command]
        subprocess.run(shell, env=environment(), check=True, stdout=subprocess.DEVNULL)

    def client(self) -> dict[str, str]:
        """Return the variables of the block for clients."""
        exported = self.commands("client").replace("make report", "env -0")
        exported = exported.replace("the-password-of-team", (self.folder / "team.password").read_text().strip())
        printed = subprocess.run(
            ["bash", "-euc", exported], env=environment(), check=True, capture_output=True, text=True
        )
        pairs = (line.split("=", 1) for line in printed.stdout.split("\0") if line.startswith("MLFLOW_"))
        return dict(pairs)

    def administrator(self) -> dict[str, str]:
        """Return the variables of a client that is the administrator."""
        password = re.search(r"ADMIN_PASSWORD=(\w+)", (self.folder / "server.env").read_text())
        assert password
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": password[1],
        }

    def objects(self) -> dict[str, int]:
        """Return the sizes of the objects in the bucket, by their names."""
        import boto3

        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.ports['9000']}",
            region_name="us-east-1",
            aws_access_key_id="key-of-the-storage",
            aws_secret_access_key="secret-of-the-storage",
        )
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="super-resolution")
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def _as_owner(self) -> list[str]:
        """PostgreSQL refuses root, whose tests run it as the account of Debian's package."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []

    def _popen(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment(), start_new_session=True, stdout=log, stderr=log
            )
        self.processes[name] = process
        (self.folder / f"{name}.pid").write_text(str(process.pid))

    def _wait_for(self, name: str, address: str) -> None:
        import ssl

        unchecked = ssl._create_unverified_context()  # whether this server is trusted is what a test asks of MLflow
        for _ in range(1200):
            assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()
            try:
                urllib.request.urlopen(address, timeout=5, context=unchecked).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / f"{name}.log").read_text())


def environment() -> dict[str, str]:
    """Return the environment of an account that has set nothing for MLflow or S3, with this Python's commands first."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "SR_", "DVC", "AWS", "PG", "PYTHONPATH"))
    }
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@contextmanager
def tracking_server() -> Iterator[TrackingServer]:
    """Set the server up and start it; it ends with the block, however that ends."""
    folder = Path(tempfile.mkdtemp(prefix="tracking_server"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    guard = subprocess.Popen(
        ["bash", "-c", GUARD, "guard", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        server = TrackingServer(folder)
        server.run("secrets", as_owner=True)
        server.run("database", as_owner=True)
        server.start_storage()
        server.run("bucket")
        server.start()
        server.run("account")
        yield server
    finally:
        guard.communicate()
