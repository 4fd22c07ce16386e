"""Section ``report``: the page."""

from pydantic import Field

from pipeline_src.config.base import Section


class Report(Section):
    """The report, ``results/report/index.html``."""

    title: str = Field(description="Title of the page.")
    crops: int = Field(ge=0, description="Image crops with sliders, in all.")
