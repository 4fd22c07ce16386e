"""Where the measurements of a state are: in a folder, in a revision of git, or in a run of MLflow.

All of them are read from a folder like ``results/benchmark``, with a folder for each net. What a revision or a run
holds is copied into a temporary one; the working tree is left as it is.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline_src import config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import FULL

WORKSPACE = "workspace"
BENCHMARK = paths.results("benchmark")
COPIED = {*paths.COMPARED, *paths.COMPARED_OF_DEVICE}
RUN_ID = re.compile(r"[0-9a-f]{32}")
SHORT = 7  # characters of a commit or of a run's id that are shown


@dataclass(frozen=True)
class Source:
    """The measurements of a state.

    Attributes:
        name: what the state is called in messages.
        folder: like ``results/benchmark``.
        nets: those that were measured, one at least.
        copied: whether the folder is a temporary copy.
    """

    name: str
    folder: Path
    nets: list[str]
    copied: bool

    @property
    def devices(self) -> list[str]:
        """Other machines that have measured files of the nets."""
        tables = (self.folder / paths.FOLDER_OF_DEVICES).glob(f"*/{paths.DEVICE_TABLE}")
        return sorted(table.parent.name for table in tables)


@contextmanager
def opened(text: str) -> Iterator[Source]:
    """Yield the measurements of a state, of which a copy is removed at the end of the block.

    Args:
        text: ``workspace``; a folder: a checkout, its ``results`` or its ``results/benchmark``; a revision of git; or
            the id of a run of MLflow, that of a state. A folder is preferred to a revision of the same name.

    Raises:
        UserError: if it is none of these, or if its measurements cannot be reached.
    """
    if text == WORKSPACE or Path(text).is_dir():
        yield _of_folder(text)
        return
    commit = _commit(text)
    if commit is None and not RUN_ID.fullmatch(text):
        raise UserError(
            f"{text} is neither a folder, nor a revision of git here, nor the id of a run of MLflow (32 digits); "
            f"correct it, or say {WORKSPACE} for the results in this folder"
        )
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / BENCHMARK.name
        if commit:
            _copy_of_commit(text, commit, copy)
            name = commit[:SHORT] if commit.startswith(text) else f"{text} ({commit[:SHORT]})"
        else:
            _copy_of_run(text, copy)
            name = f"run {text[:SHORT]}"
        yield Source(name, copy, _nets(copy), copied=True)


def _nets(folder: Path) -> list[str]:
    """Return the nets that have a table in a folder like ``results/benchmark``: ``<system>`` or ``<system>/<name>``."""
    tables = [*folder.glob(f"*/{paths.BENCHMARK_TABLE}"), *folder.glob(f"*/*/{paths.BENCHMARK_TABLE}")]
    return sorted(table.parent.relative_to(folder).as_posix() for table in tables)


def _of_folder(text: str) -> Source:
    root = Path("." if text == WORKSPACE else text)
    for folder in (root / BENCHMARK, root / BENCHMARK.name, root):
        nets = _nets(folder)
        if nets and root.resolve() == Path.cwd() and paths.PARAMS.is_file():
            listed = config.load().systems  # DVC leaves the folder of a system that has been taken out where it is
            nets = [net for net in nets if net.partition("/")[0] in listed]
        if nets:
            return Source(WORKSPACE if root == Path() else text, folder, nets, copied=False)
    raise UserError(
        f"{root.resolve()} holds no {BENCHMARK}/<system>/{paths.BENCHMARK_TABLE}; run `make report` there first"
    )


def _commit(revision: str) -> str | None:
    """Return the commit of a revision of the repository around the working folder; None if there is none."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:  # there is no git
        return None
    return done.stdout.strip() or None


def _copy_of_commit(revision: str, commit: str, into: Path) -> None:
    """Copy the files of a commit from DVC's cache or its remote."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        repository = DVCFileSystem(rev=commit)
        found = [Path(file) for file in repository.find(BENCHMARK.as_posix()) if Path(file).name in COPIED]
        for file in found:
            copy = into / file.relative_to(BENCHMARK)
            copy.parent.mkdir(parents=True, exist_ok=True)
            repository.get_file(file.as_posix(), str(copy))
    except (DvcException, DataIndexDirError, ImportError, OSError) as error:  # ImportError: no plugin for the remote
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        reason = _reason(error.__cause__ if isinstance(error, DataIndexDirError) else error)
        raise UserError(
            f"the results of {revision} are neither in DVC's cache here nor in a remote{reason}; "
            f"run `dvc fetch` where a remote has them, or `make report` in a checkout of {revision}"
        ) from None
    if not found:
        raise UserError(f"{revision} has no {BENCHMARK}; choose a revision whose dvc.lock names them")


def _reason(error: BaseException | None) -> str:
    """Return why DVC could not read a cache or a remote, in brackets; "" if it could, and the file is not there."""
    if error is None or isinstance(error, FileNotFoundError):
        return ""
    return f" ({next(iter(str(error).splitlines()), type(error).__name__)})"


def _copy_of_run(run_id: str, into: Path) -> None:
    if not tracking.copy_artifacts(run_id, BENCHMARK.name, into.parent):
        raise UserError(
            f"the run {run_id} of MLflow keeps no {BENCHMARK.name}/<net>/{paths.BENCHMARK_TABLE}; name the run of a "
            "state, to which the stage report gives it (docs/tracking.md), or compare revisions of git"
        )
