"""CI runs only the stages that a change affects: job ``report`` of ci.yml, in clones with tiny params.

The clones have the lock of another machine: same images, but other weights and all that is made of them.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from copies import STAGES, Copy, cloned, copied_again
from shared import ROOT

pytestmark = pytest.mark.slow
LAUNCHERS = {"dvc": ["dvc", "repro"], "snakemake": ["snakemake", "--cores", "8", "report"]}
BEFORE, AFTER = "calibration_images: 2", "calibration_images: 3"
AFFECTED = {"quantize@abpn_x3", "export@abpn_x3", "benchmark@abpn_x3", "report"}


def steps_around_the_cache() -> tuple[list[str], list[str]]:
    """The paths that CI restores from an earlier run, and the commands between this and ``make report``."""
    steps: list[dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["report"][
        "steps"
    ]
    cache = next(index for index, step in enumerate(steps) if step.get("uses", "").startswith("actions/cache@"))
    report = next(index for index, step in enumerate(steps) if step.get("run") == "make report")
    return steps[cache]["with"]["path"].split(), [step["run"] for step in steps[cache + 1 : report]]


def of_another_machine(lock: str) -> str:
    """A lock with other hashes of everything that is made of train.h5."""
    stages = yaml.safe_load(lock)["stages"]
    outs = [
        out
        for name, stage in stages.items()
        if name.split("@")[0] not in ("fetch", "build_h5")
        for out in stage["outs"]
    ]
    for content in {out["md5"].removesuffix(".dir") for out in outs}:
        lock = lock.replace(content, hashlib.md5(content.encode()).hexdigest())
    return lock


@pytest.fixture(scope="module")
def clone_in_ci(first_run: Copy, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Copy]:
    """A function that makes a clone as CI does before ``make report``."""
    repository = copied_again(first_run, tmp_path_factory.mktemp("repository") / "copy")
    lock = repository.folder / "dvc.lock"
    lock.write_text(of_another_machine(lock.read_text()))
    repository.commit()
    paths, commands = steps_around_the_cache()

    def clone() -> Copy:
        made = cloned(repository, tmp_path_factory.mktemp("ci") / "clone")
        for path in paths:
            if (first_run.folder / path).exists():
                shutil.copytree(first_run.folder / path, made.folder / path)
        for command in commands:
            made.ran("bash", "-c", command)
        return made

    return clone


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_changed_param_runs_what_depends_on_it(
    first_run: Copy, clone_in_ci: Callable[[], Copy], launcher: str
) -> None:
    clone = clone_in_ci()
    params = clone.folder / "params.yaml"
    assert params.read_text().count(BEFORE) == 1
    params.write_text(params.read_text().replace(BEFORE, AFTER))

    printed = clone.ran(*LAUNCHERS[launcher], SR_TRACKING="off")
    printed += "".join(log.read_text() for log in clone.folder.glob(".cache/logs/*.log"))  # of Snakemake's jobs
    executed = re.findall(r"Running stage '([^']+)'", printed)
    restored = re.findall(r"Stage '([^']+)' is cached", printed)
    assert set(executed) == AFFECTED
    assert set(restored) == set(first_run.lock()) - AFFECTED
    assert len(executed) + len(restored) == STAGES
    for stage in restored:
        assert clone.lock()[stage] == first_run.lock()[stage]
    assert clone.ran("dvc", "status").strip() == "Data and pipelines are up to date."
