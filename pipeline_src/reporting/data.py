"""Input that the sections of the report share."""

from dataclasses import dataclass

import pandas as pd

from pipeline_src import paths
from pipeline_src.config import HERE, Params
from pipeline_src.reporting import tables


@dataclass(frozen=True)
class ReportData:
    """Parameters and measurements of all systems; what only one section shows, that section reads itself.

    Attributes:
        params: the parsed params.yaml.
        table: every measured row, as :func:`tables.read` returns it.
        params_text: params.yaml as it stands, comments included.
        of: the data of all systems, if these are of some of them.
    """

    params: Params
    table: pd.DataFrame
    params_text: str = ""
    of: "ReportData | None" = None

    @property
    def whole(self) -> "ReportData":
        """The data of all systems."""
        return self.of or self

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
    def devices(self) -> list[str]:
        """Names of the devices that latencies are of; the first is the machine that ran the pipeline."""
        return list(dict.fromkeys(self.table.loc[self.table["variant"] != "bicubic", "device"]))

    def on(self, device: str) -> pd.DataFrame:
        """Return the rows of one device, and those of bicubic."""
        return self.table[(self.table["device"] == device) | (self.table["variant"] == "bicubic")]

    @property
    def learned_downscaling(self) -> list[str]:
        """Names of the systems whose LR images come from a learned downscaler."""
        return [name for name, system in self.params.systems.items() if system.downscaler.learns]


def read(params: Params, params_text: str) -> ReportData:
    """Read what the stages benchmark and measure have measured.

    A system whose downscaler learns makes its LR images of HR, whatever LR images a set has of its own. On such a set
    it has another task than the others, and no rows.

    Raises:
        UserError: if a file is missing or damaged.
    """
    there = [name for name in params.devices if name != HERE]
    table = tables.read(paths.results("benchmark"), params.nets(), params.sets_for("evaluation"), there)
    learn = [name for name, system in params.systems.items() if system.downscaler.learns]
    own = [name for name, image_set in params.sets.items() if image_set.has_own_lr]
    of_another_task = table["system"].str.partition("/")[0].isin(learn) & table["set"].isin(own)
    return ReportData(params, table[~of_another_task].reset_index(drop=True), params_text)
