"""Check that dvc.lock fits the code: ``python workflow/lock_check.py``, which needs no results.

The lock fits if it has an entry for each stage of dvc.yaml and no other, with the command, code, params and outs that
the stage has now, and if no entry has another input than the stage that makes this input wrote. It does not fit from
a change of code or params until the results of a run are committed.
"""

import sys
from pathlib import Path
from typing import Any

from dvc_stages import LockEntry, expected_entries, lock_entries

from pipeline_src.command import exit_status
from pipeline_src.errors import UserError

ROOT = Path(__file__).parents[1]
RUN = "run make report and commit dvc.lock"


def check(root: Path) -> None:
    """Compare dvc.lock with dvc.yaml, params.yaml and the code.

    Args:
        root: of the repository.

    Raises:
        UserError: if the lock does not fit; names the first stage that differs, in the order in which stages run.
    """
    locked, expected = lock_entries(root), expected_entries(root)
    made = made_by(expected, locked)
    for stage, entry in expected.items():
        if stage not in locked:
            raise UserError(f"dvc.lock does not fit the code: it has no stage {stage}; {RUN}")
        if found := difference(entry, locked[stage], made):
            raise UserError(f"dvc.lock does not fit the code: stage {stage} {found}; {RUN}")
    if stale := [stage for stage in locked if stage not in expected]:
        remedy = "take its entry out of dvc.lock and commit that"
        raise UserError(f"dvc.lock does not fit the code: dvc.yaml has no stage {stale[0]}; {remedy}")


def made_by(expected: dict[str, LockEntry], locked: dict[str, LockEntry]) -> dict[str, tuple[str, str | None]]:
    """Return the stage that has made each out, and the hash of it, by its path."""
    return {
        path: (stage, content) for stage in expected if stage in locked for path, content in locked[stage].outs.items()
    }


def difference(expected: LockEntry, locked: LockEntry, made: dict[str, tuple[str, str | None]]) -> str:
    """Return how a stage was run otherwise than it would be now; empty if there is no difference.

    Args:
        expected: its entry as it would be.
        locked: its entry in dvc.lock.
        made: what :func:`made_by` returns.
    """
    if locked.cmd != expected.cmd:
        return f"was run by another command, `{locked.cmd}`"
    for path, content in locked.deps.items():
        stage, made_content = made.get(path, ("", content))
        if content != made_content:
            return f"was run with another {path} than stage {stage} made"
    return (
        _first_difference(expected.deps, locked.deps, "")
        or _first_difference(expected.params, locked.params, " of params.yaml")
        or _first_difference(dict.fromkeys(expected.outs), dict.fromkeys(locked.outs), " among its outs")
    )


def _first_difference(expected: dict[str, Any], locked: dict[str, Any], where: str) -> str:
    """Return the first name that only one of them has or whose values differ; an expected None equals any value."""
    for name, value in expected.items():
        if name not in locked:
            return f"was run without {name}{where}"
        if value is not None and value != locked[name]:
            return f"was run with another {name}{where}"
    return next((f"was run with {name}{where}, which it no longer has" for name in locked if name not in expected), "")


if __name__ == "__main__":
    sys.exit(exit_status(check, ROOT))
