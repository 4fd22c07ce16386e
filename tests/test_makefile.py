"""The Makefile sets up an environment with a Python that the locked packages have wheels for, and refuses others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

FAKE = """#!/bin/sh
if [ "$1" = -m ]; then echo "asked for $2"; exit 3; fi
exec {python} -c 'import sys; sys.version_info = {info}; sys.version = "{version}.0 (main)"; exec(sys.argv[1])' "$2"
"""


def set_up(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up with a Python that says it is of another version, and makes no environment."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    fake = folder / "python3"
    info = tuple(int(part) for part in version.split("."))
    fake.write_text(FAKE.format(python=sys.executable, info=info, version=version))
    fake.chmod(0o755)
    outside_make = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "lint", f"PYTHON={fake}"]
    return subprocess.run(command, cwd=folder, env=outside_make, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["3.10", "3.14", "3.15"])
def test_a_python_without_wheels_is_refused_at_once_with_one_sentence(tmp_path: Path, version: str) -> None:
    done = set_up(tmp_path, version)
    assert done.returncode != 0
    sentence, ended = done.stderr.splitlines()
    assert sentence == (
        f"error: python3 is {version}.0, and the pipeline needs Python 3.11, 3.12 or 3.13; "
        "add PYTHON=python3.13, or the like, to make"
    )
    assert ended.startswith("make: ***")
    assert done.stdout == ""
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_others_make_an_environment(tmp_path: Path, version: str) -> None:
    assert set_up(tmp_path, version).stdout.splitlines() == [
        "setting up .venv from requirements.lock; what pip does is in .venv/pip.log",
        "asked for venv",
    ]
