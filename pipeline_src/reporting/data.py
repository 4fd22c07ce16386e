"""Input that the sections of the report share."""

from dataclasses import dataclass

import pandas as pd

from pipeline_src import paths
from pipeline_src.config import Params
from pipeline_src.reporting import tables


@dataclass(frozen=True)
class ReportData:
    """Parameters and measurements of all systems; what only one section shows, that section reads itself.

    Attributes:
        params: the parsed params.yaml.
        table: every measured row, as :func:`tables.read` returns it.
        params_text: params.yaml as it stands, comments included.
    """

    params: Params
    table: pd.DataFrame
    params_text: str = ""

    @property
    def systems(self) -> list[str]:
        """Names of the systems of params.yaml, without the smaller nets made of them."""
        return list(self.params.systems)

    @property
    def nets(self) -> list[str]:
        """Names of the nets that are exported and measured: systems and the smaller nets made of them."""
        return self.params.nets()

    @property
    def sets(self) -> list[str]:
        """Names of the evaluation sets."""
        return self.params.sets_for("evaluation")

    @property
    def learned_downscaling(self) -> list[str]:
        """Names of the systems whose LR images come from a learned downscaler."""
        return [name for name, system in self.params.systems.items() if system.downscaler.learns]


def read(params: Params, params_text: str) -> ReportData:
    """Read what the stage benchmark has measured.

    Raises:
        UserError: if a file is missing or damaged.
    """
    table = tables.read(paths.results("benchmark"), params.nets(), params.sets_for("evaluation"))
    return ReportData(params, table, params_text)
