"""A small net in every format, and a few evaluation images."""

from pathlib import Path

import pytest
from exported import SIZE, export
from shared import photograph

from pipeline_src import config
from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.deployment import cards
from pipeline_src.deployment.cards import Card
from pipeline_src.imaging.images import write_png


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Card]:
    """Export the net "small", ABPN ×3, and return its files with their cards; tests must not change them."""
    folder = tmp_path_factory.mktemp("export")
    export("abpn", folder, SIZE)
    return cards.read_folder(folder)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Write two evaluation sets, one of a colour and a grey image, the other of one colour image."""
    folder = tmp_path_factory.mktemp("sets")
    colours = photograph("astronaut.png")[60:132, 200:290]
    write_png(folder / "one/colours.png", colours)
    write_png(folder / "one/grey.png", colours[..., 1])
    write_png(folder / "two/cup.png", photograph("coffee.png")[100:166, 100:202])
    return {name: sorted((folder / name).iterdir()) for name in ("one", "two")}


@pytest.fixture
def evaluation(sets: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> EvaluationImages:
    """Return the sets as a stage measures them."""
    return EvaluationImages(sets, 1, tmp_path_factory.mktemp("pixels"))


@pytest.fixture
def spec() -> config.Benchmark:
    """Return the settings of a short measurement."""
    return config.Benchmark(
        threads=1, sweep=[1, 2], warmup=1, runs=1, interval=9, min_seconds=0, max_seconds=0.5, crops=1, crop_size=16
    )
