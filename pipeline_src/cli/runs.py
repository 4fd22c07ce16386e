"""List the states in MLflow that no commit has, or mark them as deleted.

    superres runs                          # what --delete would delete: nothing is changed
    superres runs --older-than 30 --delete

A state stays if its commit is in a branch or a tag of this clone, without changed files, and its params.yaml is in a
commit; if it had a run in the last days (--older-than); if it is that of this folder; or if its run has the tag `keep`.
Of every other state --delete marks the run, and the runs of its stages, as deleted. The user interface can restore them
until `mlflow gc` removes them with their files.
"""

import argparse
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline_src.cli.main import run_command
from pipeline_src.command import count

if TYPE_CHECKING:
    from pipeline_src.tracking.retention import Verdict

DAYS = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres runs``."""
    parser.add_argument(
        "--older-than", type=count, default=DAYS, metavar="DAYS", help=f"days that a state stays in any case ({DAYS})"
    )
    parser.add_argument("--delete", action="store_true", help="mark them as deleted; without it they are only listed")


def run(args: argparse.Namespace) -> None:
    """Print the states that may go, and delete them if told to."""
    from pipeline_src.tracking import retention

    committed = retention.history()
    verdicts = retention.judge(retention.recorded(), committed, args.older_than)
    going = [verdict for verdict in verdicts if verdict.may_go]
    for verdict in going:
        print(_line(verdict))
    for reason, states in Counter(verdict.reason for verdict in verdicts if not verdict.may_go).most_common():
        print(f"kept: {states}, {reason}")
    runs = sum(len(verdict.state.runs) for verdict in going)
    if not going:
        print("nothing to delete")
    elif args.delete:
        retention.delete(verdict.state for verdict in going)
        print(f"marked as deleted: {len(going)} states, {runs} runs; `mlflow gc` removes them with their files")
    else:
        print(f"--delete would mark as deleted: {len(going)} states, {runs} runs")


def _line(verdict: "Verdict") -> str:
    day = datetime.fromtimestamp(verdict.state.last / 1000).strftime("%Y-%m-%d")
    return f"{day}  {len(verdict.state.runs):3} runs  {verdict.state.name}: {verdict.reason}"


if __name__ == "__main__":
    run_command("runs", __doc__, add_arguments, run)
