"""Hashes of the images of published sets (``catalogue.csv``), and the command that prints the rows of a new set.

Example: python -m pipeline_src.datasets.catalogue Manga109 ~/Manga109/HR >> pipeline_src/datasets/catalogue.csv
"""

import argparse
import sys
from dataclasses import astuple
from pathlib import Path
from typing import get_type_hints

from pipeline_src import command
from pipeline_src.errors import UserError
from pipeline_src.imaging.images import Description, describe, list_images
from pipeline_src.tables import Kind, as_csv, read_rows

CATALOGUE = Path(__file__).parent / "catalogue.csv"
COLUMNS: dict[str, Kind] = {"set": str, "file": str, **get_type_hints(Description)}


def read_catalogue() -> dict[str, dict[str, Description]]:
    """Return the descriptions that images must have, by set and file."""
    sets: dict[str, dict[str, Description]] = {}
    for row in read_rows(CATALOGUE, COLUMNS, "correct it, or install the package again"):
        set_name, file = row.pop("set"), row.pop("file")
        sets.setdefault(set_name, {})[file] = Description(**row)
    return sets


def print_rows(set_name: str, folder: Path) -> None:
    """Print the rows of ``catalogue.csv`` for the images of a folder, sorted by file name.

    Raises:
        UserError: if the catalogue has the set already, or the folder has no images or a broken one.
    """
    if set_name in read_catalogue():
        raise UserError(f"{CATALOGUE.name} has the image set {set_name} already; choose another name")
    images = list_images(folder)
    if not images:
        raise UserError(f"the folder {folder} has no images; name the folder with the HR images of the set")
    sys.stdout.write(as_csv([set_name, image.name, *astuple(describe(image))] for image in images))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", help="the name that params.yaml will use")
    parser.add_argument("folder", type=Path, help="the folder with the original HR images")
    arguments = parser.parse_args()
    sys.exit(command.exit_status(print_rows, arguments.set, arguments.folder))
