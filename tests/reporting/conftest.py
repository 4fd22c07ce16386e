"""Fixtures of the report's tests: working folders with results, finished reports, and the page in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import (
    GAINS,
    LARGE_DEVICES,
    MANY,
    MANY_SETS,
    MEASURED,
    PARAMS,
    PRUNED,
    SETS,
    SYSTEMS,
    benchmark_rows,
    enter,
    many_rows,
    on_devices,
    pruned_rows,
    write_benchmark,
    write_crops,
    write_large,
    write_page,
    write_root,
)

from pipeline_src.reporting import tables


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params.yaml, the benchmarks of two systems, and that of a system that params.yaml no longer has."""
    root = tmp_path_factory.mktemp("original")
    write_root(root, {name: {"net": net} for name, net in PARAMS.items()}, SETS)
    for system in GAINS:
        folder = write_benchmark(root, system, benchmark_rows(system))
        write_crops(folder / "crops")
    shutil.copytree(folder, folder.with_name("gone_x3"))
    return root


@pytest.fixture(scope="session")
def full_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with many systems, scales and sets."""
    root = tmp_path_factory.mktemp("full")
    systems: dict[str, dict[str, object]] = {name: {"scales": scales} for name, (scales, *_) in MANY.items()}
    recipe = {"steps": 10, "batch": 1, "patch": 16, "augment": [], "lr": 1e-3, "warmup": 0}
    nets = {name: spec for name, (spec, *_) in PRUNED.items()}
    write_root(root, systems, tuple(MANY_SETS), {"vdsr": {"nets": nets, "finetune": recipe}})
    for name in PRUNED:
        write_benchmark(root, f"vdsr/{name}", pruned_rows(name))
    for system, (scales, *_) in MANY.items():
        folder = write_benchmark(root, system, many_rows(system))
        for scale in scales:
            write_crops(folder / "crops", scale, tuple(MANY_SETS))
    return root


@pytest.fixture
def repository(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``original`` that a test may change, as the working folder."""
    return enter(shutil.copytree(original, tmp_path / "repository"), monkeypatch)


@pytest.fixture(scope="module")
def site(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished report of a copy of ``original``, which is the working folder in the meantime."""
    from pipeline_src.stages.report import report

    with pytest.MonkeyPatch.context() as monkeypatch:
        root = enter(shutil.copytree(original, tmp_path_factory.mktemp("site") / "repository"), monkeypatch)
        report()
        yield root / "results" / "report"


@pytest.fixture
def table(repository: Path) -> pd.DataFrame:
    """Every measured row of ``repository``."""
    return tables.read(MEASURED, SYSTEMS, list(SETS))


@pytest.fixture
def crowd(full_house: Path) -> pd.DataFrame:
    """The rows of many systems at the scales 2, 3 and 4 on one set."""
    return tables.read(full_house / "results/benchmark", list(MANY), list(MANY_SETS)).query("set == 'Set5'")


@pytest.fixture
def opened(site: Path, browser: Any) -> Iterator[Any]:
    """The page on a desktop; the test fails if the page logged anything, raised, or asked for anything outside."""
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
    tab.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
    )
    tab.goto((site / "index.html").as_uri())
    tab.wait_for_selector("#plot svg")
    yield tab
    tab.close()
    assert problems == []


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 40 nets on 6 sets and 3 devices."""
    from pipeline_src import config
    from pipeline_src.reporting import data

    root = tmp_path_factory.mktemp("large") / "repository"
    write_large(root)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(root, monkeypatch)
        measured = data.read(config.load(), "")
        return write_page(on_devices(measured, LARGE_DEVICES), root.parent / "report")


@pytest.fixture(scope="session")
def crowded(full_house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ``full_house``."""
    from pipeline_src.stages.report import report

    with pytest.MonkeyPatch.context() as monkeypatch:
        root = enter(shutil.copytree(full_house, tmp_path_factory.mktemp("crowded") / "repository"), monkeypatch)
        report()
    return root / "results" / "report" / "index.html"
