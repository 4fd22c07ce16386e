"""The memory that Snakemake may give to stages side by side."""

from pathlib import Path

import memory
import psutil
import pytest


@pytest.mark.parametrize("limit", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_has_the_memory_of_its_limit(tmp_path: Path, limit: str) -> None:
    (tmp_path / limit).parent.mkdir(exist_ok=True)
    (tmp_path / limit).write_text(f"{2 * 2**30}\n")
    assert memory.megabytes(tmp_path) == int(0.9 * 2048)


@pytest.mark.parametrize("said", [None, "max", str(2**62)])
def test_without_a_limit_it_is_that_of_the_machine(tmp_path: Path, said: str | None) -> None:
    if said:
        (tmp_path / "memory.max").write_text(said)
    assert memory.megabytes(tmp_path) == int(0.9 * psutil.virtual_memory().total / 2**20)
