"""Which states of the pipeline may go from the store: those that are old and that no commit has."""

import hashlib
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline_src.errors import UserError
from pipeline_src.paths import PARAMS
from pipeline_src.tracking import state
from pipeline_src.tracking.failures import is_of_no_run
from pipeline_src.tracking.reading import opened
from pipeline_src.tracking.store import EXPERIMENT, STATE, named

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DAY = 24 * 3600 * 1000  # milliseconds
PAGE = 1000  # runs per request
KEEP = "keep"  # tag of the run of a state that is to stay
PARENT = "mlflow.parentRunId"
REFS = ("--branches", "--remotes", "--tags", "HEAD")  # what a commit is kept by


@dataclass(frozen=True)
class History:
    """What is committed here.

    Attributes:
        commits: all commits of all branches and tags.
        params: SHA-256 of every ``params.yaml`` of theirs.
        present: the state of the working folder.
    """

    commits: frozenset[str]
    params: frozenset[str]
    present: str


@dataclass(frozen=True)
class RecordedState:
    """A state as the store has it.

    Attributes:
        name: of its run.
        runs: the ids of the runs that are nested in it, and its own at the end.
        last: when the last of them began or ended, in milliseconds.
        identity: its commit and the hash of its ``params.yaml``.
        has_keep: whether its run has the tag ``keep``.
    """

    name: str
    runs: tuple[str, ...]
    last: int
    identity: str
    has_keep: bool

    @property
    def commit(self) -> str:
        """Its commit, with a ``+`` if files had changed since."""
        return self.identity.split()[0]


@dataclass(frozen=True)
class Verdict:
    """Whether a state may go, and why."""

    state: RecordedState
    may_go: bool
    reason: str


def history() -> History:
    """Return what is committed in the repository of this folder.

    Raises:
        UserError: outside git, or in a clone that has only the last commits.
    """
    try:
        shallow = _git("rev-parse", "--is-shallow-repository").strip() == b"true"
        commits = _git("rev-list", *REFS).decode().split()
        changing = _git("rev-list", "--full-history", *REFS, "--", str(PARAMS)).decode().split()
        params = frozenset(_params_hashes(changing))
    except (OSError, subprocess.CalledProcessError):
        raise UserError("this folder is no git repository with a commit; run it in a clone of the pipeline") from None
    if shallow:
        raise UserError("this clone has only the last commits; run `git fetch --unshallow` first")
    return History(frozenset(commits), params, state.current().identity)


def recorded() -> list[RecordedState]:
    """Return the states of the store, the oldest first.

    Raises:
        UserError: if the store cannot be used.
    """
    with opened() as client:
        runs = list(_runs(client))
    nested: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        nested[run.data.tags.get(PARENT, "")].append(run)
    states = [_recorded(run, [*_under(run.info.run_id, nested), run]) for run in runs if STATE in run.data.tags]
    return sorted(states, key=lambda entry: entry.last)


def judge(states: Iterable[RecordedState], committed: History, days: int) -> list[Verdict]:
    """Return for each state whether it may go.

    Args:
        states: of the store.
        committed: what is committed here.
        days: a state stays for so long after its last run.

    Raises:
        UserError: if the store has states, and not one is of a commit that is known here.
    """
    states = list(states)
    commits = {entry.commit.removesuffix("+") for entry in states}
    if states and not commits & committed.commits:
        raise UserError(
            f"{named()} has no state of a commit that this clone knows; run it in a clone of the repository that the "
            "states are of, after `git fetch --all`"
        )
    youngest = time.time() * 1000 - days * DAY
    return [_verdict(entry, committed, youngest, days) for entry in states]


def delete(states: Iterable[RecordedState]) -> None:
    """Mark the runs of states as deleted, until ``mlflow gc`` removes them; the state's own is the last.

    Raises:
        UserError: if the store cannot be used, or does not permit it.
    """
    from mlflow.exceptions import MlflowException

    with opened() as client:
        for run_id in [run_id for entry in states for run_id in entry.runs]:
            try:
                client.delete_run(run_id)
            except MlflowException as error:
                if not is_of_no_run(error):  # somebody else has deleted it meanwhile
                    raise


def _verdict(entry: RecordedState, committed: History, youngest: float, days: int) -> Verdict:
    commit, params_hash = entry.identity.split(maxsplit=1)
    if entry.has_keep:
        return Verdict(entry, False, f"the tag {KEEP}")
    if entry.identity == committed.present:
        return Verdict(entry, False, "the state of this folder")
    if commit in committed.commits and params_hash in committed.params:
        return Verdict(entry, False, "committed")
    if entry.last > youngest:
        return Verdict(entry, False, f"a run in the last {days} days")
    if commit == "no-git":
        return Verdict(entry, True, "it ran outside git")
    if commit.endswith("+"):
        return Verdict(entry, True, "files had changes that were not committed")
    if commit not in committed.commits:
        return Verdict(entry, True, "its commit is in no branch or tag of this clone")
    return Verdict(entry, True, f"its {PARAMS} is in no commit")


def _runs(client: "MlflowClient") -> "Iterator[Run]":
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return
    page = client.search_runs([experiment.experiment_id], max_results=PAGE)
    yield from page
    while page.token:
        page = client.search_runs([experiment.experiment_id], max_results=PAGE, page_token=page.token)
        yield from page


def _under(run_id: str, nested: "Mapping[str, list[Run]]") -> "Iterator[Run]":
    """Yield the runs that are nested in a run, those within them first."""
    for run in nested.get(run_id, []):
        yield from _under(run.info.run_id, nested)
        yield run


def _recorded(run: "Run", runs: "list[Run]") -> RecordedState:
    last = max(moment for each in runs for moment in (each.info.start_time, each.info.end_time or 0))
    ids = tuple(each.info.run_id for each in runs)
    return RecordedState(run.info.run_name, ids, last, run.data.tags[STATE], KEEP in run.data.tags)


def _params_hashes(commits: Iterable[str]) -> Iterator[str]:
    """Yield the SHA-256 of ``params.yaml`` in each commit that has it."""
    names = "".join(f"{commit}:./{PARAMS}\n" for commit in commits)
    answer = _git("cat-file", "--batch", text=names.encode())
    while answer:  # "<object> blob <bytes>\n<content>\n", or "<name> missing\n"
        head, _, answer = answer.partition(b"\n")
        if head.endswith(b" missing"):
            continue
        size = int(head.rsplit(b" ", 1)[1])
        yield hashlib.sha256(answer[:size]).hexdigest()
        answer = answer[size + 1 :]


def _git(*arguments: str, text: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], input=text, check=True, capture_output=True).stdout
