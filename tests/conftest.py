"""Fixtures to run stages: a folder with tiny params, a small train.h5 of photographs, and a browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from shared import ROOT, TINY, merged, photograph, stage_environment

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the first import of a library that reads it

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that no worker starts one when the others have finished."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Let torch compute with one thread, whatever the test before has set.

    Layers as small as those of the tests take many times as long where threads wait for each other, and more so when
    several workers share the cores.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes params.yaml into a folder: ours, with abpn_x3 alone and short trainings.

    Its argument is merged into these params.
    """

    def make(changes: dict[str, Any] | None = None) -> Path:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params |= {"systems": {"abpn_x3": params["systems"]["abpn_x3"]}, "search": {}}
        params = merged(params, {"train": {"checkpoint_every": 4, "validate_every": 6, "validation_crop": 32}})
        params = merged(params, {"systems": {"abpn_x3": {"train": TINY | {"start": None}, "qat": TINY}}})
        params = merged(params, {"prune": {"abpn_x3": {"finetune": TINY}}})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(merged(params, changes or {}), sort_keys=False))
        return tmp_path

    return make


@pytest.fixture
def stage() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a stage's command in a folder, without tracking."""

    def run(folder: Path, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = stage_environment() | environment
        return forked.run(folder, f"pipeline_src.stages.{name}", *arguments, environment=environment)

    return run


@pytest.fixture(scope="session")
def train_h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a train.h5 of four crops of photographs, three for training and one for validation."""
    from pipeline_src.datasets import hdf5
    from pipeline_src.imaging.imresize import imresize, modcrop

    def pairs() -> Iterator[Any]:
        for index, name in enumerate(["coffee.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg"]):
            hr = photograph(name)[60 : 60 + 170, 100 : 100 + 200 + index]
            lr = {scale: imresize(modcrop(hr, scale), 1 / scale) for scale in (2, 3, 4)}
            yield "validation" if index == 3 else "training", f"photographs/{name}", hr, lr

    path = tmp_path_factory.mktemp("h5") / "train.h5"
    hdf5.write(path, pairs())
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, headless; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (on Debian: apt install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()
