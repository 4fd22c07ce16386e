"""A real Slurm on this machine, for as long as a test takes: munged, slurmctld, and slurmd once for each node.

    unshare --mount --pid --fork --kill-child --mount-proc python slurm_cluster.py FOLDER NODES

The daemons have a mount and a PID namespace of their own, so the machine's /etc/slurm and /etc/hosts stay as they are,
and whatever the cluster has started ends with it. A node has a host name and a PID namespace for itself: it can be lost
as a machine is.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "unshare", "nsenter"]
CPUS, MEGABYTES = 2, 12000  # of a node
SECONDS_TO_START = 60
NODE_GONE_AFTER = 10  # seconds without an answer
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/state/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SlurmdTimeout={timeout}
ReturnToService=2
KillWait=2
MinJobAge=36000
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why no cluster can be started here; "" if one can."""
    if os.geteuid():
        return "only root can make namespaces"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"{', '.join(absent)} not installed: .ci/servers" if absent else ""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: its files.
        pid: the process whose namespaces its daemons have.
    """

    folder: Path
    pid: int

    def command(self, *words: str) -> list[str]:
        """Return a command as it is run on the machine of the controller."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--pid", f"--wd={Path.cwd()}", *words]

    def said(self, *words: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout

    @contextmanager
    def lost(self, node: str) -> Iterator[None]:
        """End a node at once, with everything that runs on it; it is back at the end."""
        self.said("kill", "-KILL", (self.folder / f"{node}.pid").read_text())
        yield
        (self.folder / f"{node}.pid").unlink()  # asks for another
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until all nodes are there and do nothing."""
        until = time.monotonic() + SECONDS_TO_START
        while {*self.said("sinfo", "--Node", "--noheader", "--format=%t").split()} != {"idle"}:
            assert time.monotonic() < until, self.said("sinfo", "--list-reasons")
            time.sleep(0.1)


@contextmanager
def running(folder: Path, nodes: int) -> Iterator[Cluster]:
    """Start a cluster, and end it with all of its jobs."""
    folder.mkdir()
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with (folder / "daemons.log").open("w") as log:
        daemons = subprocess.Popen([*own, sys.executable, __file__, folder, str(nodes)], stdout=log, stderr=log)
    try:
        children = Path(f"/proc/{daemons.pid}/task/{daemons.pid}/children")
        until = time.monotonic() + SECONDS_TO_START
        while not (pid := children.read_text().strip()) or not (folder / "started").exists():
            assert daemons.poll() is None, (folder / "daemons.log").read_text()
            assert time.monotonic() < until, (folder / "daemons.log").read_text()
            time.sleep(0.05)
        cluster = Cluster(folder, int(pid))
        cluster.wait_until_idle()
        yield cluster
    finally:
        daemons.kill()
        daemons.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(folder: Path, names: list[str]) -> None:
    for name in ["etc", "state", "munge", *(f"spool_{name}" for name in names)]:
        (folder / name).mkdir()
    (folder / "munge").chmod(0o700)
    (folder / "munge" / "key").write_bytes(secrets.token_bytes(64))
    (folder / "munge" / "key").chmod(0o600)
    of_node = f"NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEGABYTES} Gres=gpu:1"
    nodes = [f"NodeName={name} Port={_free_port()} {of_node}" for name in names]
    places = {"host": socket.gethostname(), "port": _free_port(), "folder": folder, "timeout": NODE_GONE_AFTER}
    (folder / "etc" / "slurm.conf").write_text(CONFIGURATION.format(nodes="\n".join(nodes), **places))
    (folder / "etc" / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # asked for, and not used
    (folder / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()} {' '.join(names)}\n")


def _run(folder: Path, count: int) -> None:
    """Start the daemons and wait for their end."""
    names = [f"node{number}" for number in range(1, count + 1)]
    _configure(folder, names)
    for source, target in [(folder / "etc", "/etc/slurm"), (folder / "hosts", "/etc/hosts")]:
        subprocess.run(["mount", "--bind", source, target], check=True)
    munge = {name: folder / "munge" / name for name in ("key", "socket", "pid", "seed", "log")}
    options = [f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in munge.items()]
    daemons = [subprocess.Popen(["munged", "--foreground", "--force", *options])]
    while not munge["socket"].exists():
        time.sleep(0.05)
    daemons.append(subprocess.Popen(["slurmctld", "-D"]))
    (folder / "started").touch()
    while all(daemon.poll() is None for daemon in daemons):
        for name in names:
            if not (pid := folder / f"{name}.pid").exists():
                pid.write_text(str(_started(name).pid))
        time.sleep(0.1)


def _started(name: str) -> "subprocess.Popen[bytes]":
    """Start a node, which has its host name and its processes for itself."""
    own = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.Popen([*own, "sh", "-c", f"hostname {name} && exec slurmd -D -N {name}"])


if __name__ == "__main__":
    _run(Path(sys.argv[1]), int(sys.argv[2]))
