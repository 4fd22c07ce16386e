"""The command that lists the pixels of a set for catalogue.csv."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.config import ImageSet
from pipeline_src.datasets import catalogue
from pipeline_src.datasets.image_sets import obtain


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline_src.datasets.catalogue", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_print_rows_prints_the_rows_of_the_catalogue(tmp_path: Path) -> None:
    obtain("samples", ImageSet(role="training"), tmp_path)
    done = run("mine", tmp_path)
    assert done.returncode == 0, done.stderr
    with catalogue.CATALOGUE.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*catalogue.COLUMNS]
    expected = [["mine", *row[1:]] for row in rows if row[0] == "samples"]
    assert [line.split(",") for line in done.stdout.splitlines()] == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Set5", "catalogue.csv has the image set Set5 already; choose another name"),
        ("mine", "has no images; name the"),
    ],
)
def test_a_set_that_cannot_be_added_is_a_user_error(tmp_path: Path, name: str, message: str) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
