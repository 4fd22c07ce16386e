"""Removes from DVC's list of the stages that run those that were killed when they wrote the given files.

    python workflow/unlock.py results/nets/abpn_x3/weights.safetensors ...

DVC takes a stage in its list for one that still runs if this machine has a process of the same number. On a cluster the
stage may have been killed on another machine, and the process here is another one. Snakemake never runs two stages that
have files in common at the same time, so before a stage begins, none that has its files in the list can be running.
"""

import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from shlex import quote

from dvc.lock import make_lock

RUNNING = Path(".dvc/tmp/rwlock")  # where DVC lists the stages that run


def command(outs: list[str]) -> str:
    """Return what stands before the command of a stage with these files and folders."""
    return f"python {quote(__file__)} {' '.join(map(quote, outs))} && "


def locked(listed: Path) -> AbstractContextManager[object]:
    """Return the lock that DVC holds while it writes the list."""
    return make_lock(str(listed.with_name("rwlock.lock")), tmp_dir=str(listed.parent), wait=True)


def unlock(root: Path, outs: list[str]) -> None:
    """Remove every entry of a file or folder that a stage writes, that lies in one, or that one lies in."""
    listed, own = root / RUNNING, [root / out for out in outs]
    if not listed.exists():
        return
    with locked(listed):
        running = json.loads(listed.read_text(encoding="utf-8"))
        kept = {
            kind: {path: users for path, users in entries.items() if not any(_overlap(Path(path), out) for out in own)}
            for kind, entries in running.items()
        }
        if kept != running:
            listed.write_text(json.dumps(kept), encoding="utf-8")


def _overlap(path: Path, out: Path) -> bool:
    return path.is_relative_to(out) or out.is_relative_to(path)


if __name__ == "__main__":
    unlock(Path.cwd(), sys.argv[1:])
