"""Sections of the report, each in a module of its own.

A section is a function ``build`` from :class:`ReportData` to a :class:`Section`, or to None where there is nothing to
show. To add one, write a module with such a function and name it in :data:`SECTIONS`. If table.md and table.tex should
hold its tables too, give it a function ``text_tables`` and name that in :data:`texts.TEXT_TABLES`.
"""

from collections.abc import Callable

from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Section
from pipeline_src.reporting.sections import (
    budget,
    crops,
    devices,
    downscaling,
    measurements,
    operators,
    provenance,
    pruning,
    published,
    searching,
    threads,
    verdict,
    waterfall,
)

# in the order of the page
SECTIONS: list[Callable[[ReportData], Section | None]] = [
    budget.build,
    verdict.build,
    measurements.build,
    crops.build,
    waterfall.build,
    pruning.build,
    downscaling.build,
    searching.build,
    devices.build,
    threads.build,
    operators.build,
    published.build,
    provenance.build,
]
