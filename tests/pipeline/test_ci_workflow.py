"""ci.yml: what a run of it may do and uses, and that its shell steps are shell and name targets that exist.

The steps of the job ``report`` are run in :mod:`test_ci_cache` and :mod:`test_ci_compare`.
"""

import re
import subprocess
from typing import Any

import yaml
from shared import ROOT

TEXT = (ROOT / ".github/workflows/ci.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved to other code, a commit cannot; the comment says which version it is."""
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) == sum("uses" in step for step in STEPS) > 0
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_jobs_may_only_read_and_end_by_themselves() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in WORKFLOW["jobs"].values())


def test_no_step_needs_a_setting_of_the_repository() -> None:
    assert not re.findall(r"\b(?:vars|secrets)\.", TEXT)


def test_shell_steps_are_shell_and_name_targets_that_exist() -> None:
    commands = [step["run"] for step in STEPS if "run" in step]
    for command in commands:
        plain = re.sub(r"\$\{\{.*?\}\}", "value", command)
        subprocess.run(["bash", "-n", "-c", plain], check=True)
    targets = {target for command in commands for target in re.findall(r"\bmake ([\w-]+)", command)}
    assert {"test", "report", "scaling-test"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_every_week_the_servers_are_tried_and_nothing_else() -> None:
    assert WORKFLOW[True]["schedule"]  # YAML takes the key `on` for true
    weekly = [name for name, job in WORKFLOW["jobs"].items() if job["if"] != "github.event_name != 'schedule'"]
    assert weekly == ["servers"]
