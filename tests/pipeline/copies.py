"""Copies of the repository in which the pipeline runs with tiny params, on crops of photographs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import forwarding
import pytest
import yaml
from filelock import FileLock
from PIL import Image
from shared import ROOT, photograph

COPIED = [
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    "Snakefile",
    "dvc.yaml",
    "params.yaml",
    "pyproject.toml",
    "pipeline_src",
    "profiles",
    "workflow",
]
RECIPE = "{steps: 4, batch: 2, patch: 16}"
OTHERS = [name for name in yaml.safe_load((ROOT / "params.yaml").read_text())["systems"] if name != "abpn_x3"]
SETS = {"photos": ["coffee.png", "chelsea.png", "rocket.jpg"], "judged": ["astronaut.png"]}
OWN_SETS = {
    "samples": None,
    "samples_heldout": None,
    "photos": {"role": "training", "folder": "photos"},
    "judged": {"role": "evaluation", "folder": "judged"},
}
TINY = f"""
sets: {json.dumps(OWN_SETS)}
build_h5: {{validation_every: 2}}
train: {{checkpoint_every: 2, validate_every: 2, validation_crop: 16}}
quantize: {{calibration_images: 2, calibration_crop: 32}}
benchmark: {{warmup: 1, runs: 3, interval: 9.0, min_seconds: 0.0, crops: 1, crop_size: 16}}
operators: {{size: [8, 12], channels: 8, warmup: 1, runs: 2, interval: 9.0}}
search: {{ofa_sr: ~}}
prune: {{abpn_x3: {{finetune: {RECIPE}}}}}
systems:
  abpn_x3: {{benchmark_size: [24, 32], train: {RECIPE}, qat: {RECIPE}}}
  {"".join(f"{name}: ~{chr(10)}  " for name in OTHERS)}
"""
STAGES = 10


@dataclass(frozen=True)
class Copy:
    """A copy of the repository in a folder."""

    folder: Path

    def layer(self, preset: str) -> None:
        """Layer a preset over params.yaml."""
        (self.folder / "tiny.yaml").write_text(preset)
        self.superres("preset", "add", "tiny.yaml")

    def ran(self, *command: str, **environment: str) -> str:
        """Run a command of this environment, and return what it prints.

        The launchers and the stages do not import the libraries again, see ``forwarding``.
        """
        kept = self._environment()
        kept |= {"PATH": f"{forwarding.folder()}{os.pathsep}{kept['PATH']}"} | environment
        done = subprocess.run(command, cwd=self.folder, env=kept, capture_output=True, text=True)
        return printed(" ".join(command), done)

    def superres(self, *arguments: str, **environment: str) -> str:
        """Run a subcommand of superres, and return what it prints."""
        return self.forked("pipeline_src", *arguments, **environment)

    def forked(self, module: str, *arguments: str, **environment: str) -> str:
        """Run ``python -m module arguments``, without importing the libraries again, and return what it prints."""
        done = forked.run(self.folder, module, *arguments, environment=self._environment() | environment)
        return printed(" ".join([module, *arguments]), done)

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "SR_", "DVC", "RANK", "SNAKEMAKE"))}
        return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}

    def commit(self) -> None:
        """Commit everything."""
        self.ran("git", "add", "--all")
        self.ran("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "state")

    def lock(self) -> dict[str, Any]:
        """Return the stages of dvc.lock."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def assert_nothing_to_do(self) -> None:
        """Assert that both launchers find every stage up to date."""
        assert self.ran("dvc", "repro").count("didn't change, skipping") == STAGES
        assert "Nothing to be done" in self.ran("snakemake", "--cores", "8", "report")


def copied(folder: Path, tiny: bool = True) -> Copy:
    """Copy the repository, with tiny params unless not, and commit the copy."""
    for name in COPIED:  # with what Python and numba have compiled
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for name, photographs in SETS.items():
        (folder / name).mkdir()
        for file in photographs:
            crop = Image.fromarray(photograph(file)[60:156, 100:220])
            crop.save((folder / name / file).with_suffix(".png"))
    copy = Copy(folder)
    if tiny:
        copy.layer(TINY)
    copy.ran("git", "init", "--quiet")
    copy.commit()
    return copy


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Copy:
    """A copy of the repository with tiny params after ``dvc repro``; what a test changes it copies first."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "first_run"
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            copied(folder).ran("dvc", "repro", SR_TRACKING="off")
            done.touch()
    return Copy(folder)


def copied_again(origin: Copy, folder: Path) -> Copy:
    """Copy a copy, with all that has been run there."""
    shutil.copytree(origin.folder, folder, symlinks=True)
    return Copy(folder)


def cloned(origin: Copy, folder: Path) -> Copy:
    """Clone a copy by git."""
    origin.ran("git", "clone", "--quiet", ".", str(folder))
    shutil.copytree(origin.folder / "pipeline_src", folder / "pipeline_src", dirs_exist_ok=True)  # what is compiled
    return Copy(folder)


def printed(command: str, done: "subprocess.CompletedProcess[str]") -> str:
    """Return the output of a command that ended well."""
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
