"""Job ``report`` of ci.yml says in its summary what became better or worse: its shell steps, run here."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from made_states import git, image_rows, repository_of_two_states, write_state
from shared import ROOT


def steps() -> tuple[str, str]:
    """The commands that compare, and that keep what the main branch has measured."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step["run"] for step in jobs["report"]["steps"] if "run" in step]
    (place,) = [place for place, command in enumerate(commands) if "superres compare" in command]
    return commands[place], commands[place + 1]


@pytest.fixture
def summary(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """A function that runs a step in a clone whose results are worse than those of v1.

    It returns what the step prints and the summary of the job.
    """
    origin = tmp_path / "origin"
    origin.mkdir()
    repository_of_two_states(origin)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    write_state(clone, images=image_rows(qat=-0.05))
    (clone / ".venv").mkdir()
    (clone / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (clone / ".cache").mkdir()

    def run(command: str, base: str = "v1") -> tuple[str, str]:
        said = clone / "summary.md"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "BASE": base, "GITHUB_STEP_SUMMARY": str(said)}
        shell = ["bash", "-e", "-o", "pipefail", "-c", command]  # as GitHub runs it
        done = subprocess.run(shell, cwd=clone, env=environment, check=True, capture_output=True, text=True)
        return done.stdout, said.read_text() if said.exists() else ""

    return run


def test_results_that_are_not_reachable_are_one_sentence(summary: Callable[..., tuple[str, str]]) -> None:
    compare, _ = steps()
    printed, said = summary(compare)
    assert printed == ""
    assert said.startswith("error: the results of v1 are neither in DVC's cache here nor in a remote")
    assert len(said.splitlines()) == 1


def test_what_is_worse_is_in_the_summary_and_a_warning(summary: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    compare, keep = steps()
    (tmp_path / "clone/.dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'origin/.dvc/cache'}\n")
    printed, said = summary(compare)
    assert printed.startswith("::warning::something became worse")
    assert "| worse | abpn\\_x3 ×3 | qat tflite | PSNR Y (dB) Set5 | 33.900 | 33.850 | -0.050 |" in said
    summary(keep)
    printed, again = summary(compare, "no revision")
    assert printed == ""
    assert again.removeprefix(said).startswith(
        "### What became better or worse\n\n**3 files compared: 0 worse, 0 better"
    )
    assert "base: .cache/main" in again
