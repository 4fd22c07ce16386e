"""The state of the pipeline: the commit, ``params.yaml``, and what differs from another state."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_src.files import sha256
from pipeline_src.paths import PARAMS
from pipeline_src.tracking.entries import flattened

NAME_LENGTH = 60  # characters of a change in the name of a run
LISTED_CHANGES = 20
ABSENT = "–"  # in the place of a value that one of two states does not have


@dataclass(frozen=True)
class State:
    """The commit and the params of a state.

    Attributes:
        commit: as :func:`git_commit` returns it.
        params_hash: SHA-256 of ``params.yaml``, or ``no params``.
        params: the values of ``params.yaml`` as texts, by their dotted keys.
    """

    commit: str
    params_hash: str
    params: Mapping[str, str]

    @property
    def identity(self) -> str:
        """The text by which the run of a state is found again."""
        return f"{self.commit} {self.params_hash}"

    @property
    def short_commit(self) -> str:
        """The commit in seven characters, and ``+`` if files have been changed since."""
        return self.commit[:7] + "+" * self.commit.endswith("+")


def current() -> State:
    """Return the state of the working folder."""
    if not PARAMS.is_file():
        return State(git_commit(), "no params", {})
    return State(git_commit(), sha256(PARAMS), dict(flattened(_read_params())))


def _read_params() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8")) or {}


def changes(before: State, after: State) -> list[str]:
    """Return what differs between two states, such as ``systems.abpn_x3.train.lr: 0.002 → 0.01``.

    Changed code comes last, as ``code: <commit> → <commit>``.
    """
    keys = dict.fromkeys([*after.params, *before.params])
    values = [(name, before.params.get(name, ABSENT), after.params.get(name, ABSENT)) for name in keys]
    if before.commit != after.commit:
        values.append(("code", before.short_commit, after.short_commit))
    return [f"{name}: {old} → {new}" for name, old, new in values if old != new]


def listed(changed: list[str]) -> str:
    """Return changes as one text, the first of them if they are many."""
    more = len(changed) - LISTED_CHANGES
    return "; ".join([*changed[:LISTED_CHANGES], *([f"{more} more"] if more > 0 else [])])


def run_name(state: State, changed: list[str]) -> str:
    """Return the name of the run of a state: its commit, and the first change, such as ``abpn_x3.train.lr = 0.01``.

    Args:
        state: the state.
        changed: what :func:`changes` lists; empty for the first state of a store.
    """
    if not changed:
        return f"{state.short_commit}, first state"
    params = [change for change in changed if not change.startswith("code: ")]
    first, _, value = (params or ["code"])[0].removeprefix("systems.").partition(": ")
    text = f"{first} = {value.rpartition(' → ')[2]}" if value else first
    text = text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH - 1]}…"
    return f"{state.short_commit}, {text}" + f" and {len(params) - 1} more" * (len(params) > 1)


def git_commit() -> str:
    """Return the commit of the working tree, with ``+`` if files have been changed since; ``no-git`` outside git.

    Files that the pipeline writes (``dvc.lock``, ``results``) do not count as changes, because a run must not change
    its own identity, nor does ``params.yaml``, which has a hash of its own.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!results", f":!{PARAMS}")
    except (OSError, subprocess.CalledProcessError):
        return "no-git"
    return commit + "+" * bool(changed)


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()
