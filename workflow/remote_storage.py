"""Stages as jobs that share no file system: each pulls what it needs from the DVC remote, and pushes what it has made.

What Snakemake passes from job to job is the entry that DVC has written into dvc.lock, a small file. It is named by what
the stage is run with (its command, code and params, and those of the stages that it depends on), so an entry that is
there is of this state, whoever has made it and when. Two kinds of stages run in the folder of Snakemake itself. The
report, because git has some of its files: it gets the entries of all stages, so that the dvc.lock there is complete.
And ``measure``, because the way to a device begins there.

    python workflow/remote_storage.py STAGE ENTRY [--pull PATH …] [--entries FILE …]
"""

import argparse
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc_stages import LockEntry, Stage, lock_text, merge_into_lock, remote_name
from lock_check import difference, made_by

from pipeline_src.command import exit_status
from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

ROOT = Path(__file__).parents[1]
FOLDER = Path(".cache/entries")
LAST = "report"
MANUAL = "docs/scaling.md"


@dataclass(frozen=True)
class Job:
    """What a stage is to Snakemake.

    Attributes:
        entry: the file of its entry; "" if dvc.lock has it already.
        entries: those of the stages that it depends on and dvc.lock has not; of the report those of all stages.
        pulled: the results that it reads.
    """

    entry: str
    entries: list[str]
    pulled: list[str]

    @property
    def output(self) -> list[str]:
        """The file that it makes, if any."""
        return [self.entry] if self.entry else []


def prepare(root: Path, main: bool) -> None:
    """Check that other machines get what a stage needs; on such a one let DVC work without a repository of git.

    Args:
        root: of the repository, or of the folder to which Snakemake has copied the code.
        main: whether this is the process that starts the jobs.

    Raises:
        UserError: if there is no remote that git knows of, or a file of the code that it does not know.
    """
    if not (root / ".git").exists():
        (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    if not main:
        return
    if not remote_name(root):
        raise UserError(
            f"storage=remote needs a default DVC remote in .dvc/config; `dvc remote add --default` names one ({MANUAL})"
        )
    listed = ["git", "ls-files", "--others", "--exclude-standard", "pipeline_src", "workflow"]
    if unknown := subprocess.run(listed, cwd=root, capture_output=True, text=True).stdout.splitlines():
        raise UserError(
            f"git does not know {unknown[0]}, and only what git lists is sent to other machines; git add it"
        )


def resources(stage: Stage, here: bool) -> dict[str, Any]:
    """Return the resources that Snakemake reserves for a stage: of this machine, or of another one by their names."""
    if here:
        return stage.job.resources
    gpus = {"gpu": stage.meta["gpu"], "gpu_manufacturer": "nvidia"} if stage.cuda else {}
    return {"mem_mb": stage.meta["mem_mb"]} | gpus


def runs_here(stage: str) -> bool:
    """Return whether a stage runs in the folder of Snakemake, and on no other machine."""
    return stage == LAST or stage.startswith("measure@")


def jobs(stages: list[Stage], expected: dict[str, LockEntry], locked: dict[str, LockEntry]) -> dict[str, Job]:
    """Return the job of each stage.

    Args:
        stages: all of them, each after the stages it depends on.
        expected: what dvc.lock has to say of them.
        locked: what it says.
    """
    made = made_by(expected, locked)
    maker = {path: stage.name for stage in stages for path in stage.files + stage.folders}
    keys: dict[str, str] = {}  # of the stages that dvc.lock has no entry of
    found: dict[str, Job] = {}
    for stage in stages:
        pulled = [path for path in stage.inputs if path in maker]
        upstream = list(dict.fromkeys(maker[path] for path in pulled))
        if any(name in keys for name in upstream) or _differs(stage.name, expected, locked, made):
            keys[stage.name] = _key(
                expected[stage.name], {name: keys.get(name) or locked[name].outs for name in upstream}
            )
        passed = [name for name in (found if stage.name == LAST else upstream) if name in keys]
        entries = [found[name].entry for name in passed]
        found[stage.name] = Job(_entry(stage.name, keys.get(stage.name)), entries, pulled)
    return found


def _differs(
    name: str, expected: dict[str, LockEntry], locked: dict[str, LockEntry], made: dict[str, tuple[str, str | None]]
) -> bool:
    return name not in locked or bool(difference(expected[name], locked[name], made))


def _key(entry: LockEntry, upstream: dict[str, Any]) -> str:
    """Return a hash of what a stage is run with."""
    code = {path: content for path, content in entry.deps.items() if content is not None}
    text = json.dumps([entry.cmd, code, entry.params, sorted(entry.outs), upstream], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _entry(name: str, key: str | None) -> str:
    return (FOLDER / name / f"{key}.yaml").as_posix() if key else ""


def run(stage: str, entry: Path, pulled: list[str], entries: list[Path]) -> None:
    """Run a stage in this folder, and write its entry.

    Args:
        stage: its name.
        entry: the file to write.
        pulled: results that it reads.
        entries: files of the entries of stages that dvc.lock here lacks.

    Raises:
        UserError: if the remote cannot be reached, or lacks a result.
    """
    merge_into_lock(ROOT, [file.read_text(encoding="utf-8") for file in entries])
    if pulled:
        _dvc("pull", *pulled, failing=f"{stage} cannot get what it reads from the DVC remote")
    # What it depends on is here, so DVC compares contents; --pull is for its own results, if nothing has changed.
    done = subprocess.run(["dvc", "--wait-for-lock", "repro", "--pull", "--no-run-cache", "--single-item", stage])
    if done.returncode:
        sys.exit(done.returncode)
    _dvc("push", stage, failing=f"the results of {stage} cannot be put into the DVC remote")
    with whole_file(entry) as written:
        written.write_text(lock_text(ROOT, stage), encoding="utf-8")


def _dvc(command: str, *targets: str, failing: str) -> None:
    """Run a command of DVC and show what it prints.

    Raises:
        UserError: with the first error that DVC tells, if it fails.
    """
    done = subprocess.run(["dvc", "--wait-for-lock", command, *targets], capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="", end="", flush=True)
    if done.returncode:
        errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = errors[0] if errors else f"status {done.returncode}"
        raise UserError(f"{failing} ({reason}); {MANUAL} says what to do, under “When a remote does not answer”")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage")
    parser.add_argument("entry", type=Path)
    parser.add_argument("--pull", nargs="*", default=[], metavar="PATH")
    parser.add_argument("--entries", nargs="*", default=[], type=Path, metavar="FILE")
    args = parser.parse_args()
    return exit_status(run, args.stage, args.entry, args.pull, args.entries)


if __name__ == "__main__":
    sys.exit(main())
