"""An exported file as it is shipped: with its card, and a program that runs it."""

import shutil
from pathlib import Path

from pipeline_src.deployment import cards
from pipeline_src.deployment.formats import format_of
from pipeline_src.files import whole_file


def ship(file: Path, folder: Path) -> list[Path]:
    """Copy an exported file to a folder, which is made if there is none.

    Args:
        file: any part of it that has a card.
        folder: where to.

    Returns:
        The copies: the parts of the file, its card, and ``<name>_example.py``.

    Raises:
        UserError: if the file is not what its card describes.
    """
    card = cards.read(file)
    sources = [*format_of(file).parts(file), cards.path_of(file)]
    folder.mkdir(parents=True, exist_ok=True)
    copies = [folder / source.name for source in sources]
    for source, copy in zip(sources, copies, strict=True):
        with whole_file(copy) as aside:
            shutil.copyfile(source, aside)
    example = folder / f"{file.stem}_example.py"
    with whole_file(example) as aside:
        aside.write_text(card.example)
    return [*copies, example]
