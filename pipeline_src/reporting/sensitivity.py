"""What int8 costs layer by layer: of each system and scale the layers that lose most."""

from pathlib import Path

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.reporting.tables import NAMED, Column

WORST = 3
COLUMNS = (NAMED["system"], NAMED["scale"], Column("layer", "Layer"), Column("lost_db", "Lost in int8 (dB)", "{:.3f}"))


def worst(folder: Path, systems: list[str]) -> pd.DataFrame:
    """The ``WORST`` rows of every scale in ``<folder>/<system>/sensitivity.csv``, the worst first.

    Empty where ``quantize.sensitivity_images`` is 0: then nothing was tried. UserError if a file is missing.
    """
    tables = []
    for system in systems:
        path = folder / system / "sensitivity.csv"
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; run `python -m pipeline_src.stages.quantize {system}`, or `dvc repro`"
            )
        rows = pd.read_csv(path).assign(system=system)
        rows = rows.sort_values(["scale", "lost_db"], ascending=[True, False])
        tables.append(rows.groupby("scale").head(WORST))
    return pd.concat(tables)[[column.name for column in COLUMNS]]
