"""Section "All measurements": every row in a table that the reader can sort and filter."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline_src import paths
from pipeline_src.reporting import tables
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Items, Section, Table, Template, Text
from pipeline_src.reporting.sections.downscaling import caveat

LARGEST_FIRST = {"psnr_y", "ssim_y", "gain_db"}  # columns that are sorted from large to small at the first click
WRITTEN = [column for column in tables.COLUMNS if column.name != "scale"]  # as text there is one table per scale


def build(data: ReportData) -> Section:
    """Return the section, with a warning about files that could not be run."""
    values = {
        "columns": tables.COLUMNS,
        "largest_first": LARGEST_FIRST,
        "filters": _filters(data.table),
        "rows": _rows(data.table),
    }
    blocks: list[Block] = [Template("sections/measurements.html", values)]
    failing = tables.failing(paths.results("benchmark"), data.nets, data.devices[1:])
    if not failing.empty:
        files = [f"{' '.join(tables.line(row, tables.COLUMNS[:4]))}: {row['fails']}" for _, row in failing.iterrows()]
        blocks += [Text("These files do not run on the machine that measured:", "warning"), Items(files)]
    note = Markup(
        "For each variant the table shows the TFLite file. “Faster still” names another runtime's file of the same "
        "net that takes less time and is at most {} dB worse; “every runtime” shows all files. p50 and p90 are the "
        "median and the 90th percentile of the latency from uint8 image to uint8 image, at the LR size in the column "
        "“LR timed”; the runtime's own call is a part of it. ± is the distance from a median to the farther end of its "
        "95 % confidence interval. A figure with its number of runs in brackets has not settled: it rests on too few "
        "calls, or its interval is still too wide, and is compared with no other. Slow systems may be timed at a "
        "smaller size, so compare different systems by the p50 per output megapixel. PSNR Y and SSIM Y are defined in "
        "<code>docs/protocol.md</code>. “Levels off” is the largest difference from the image at export, in 8-bit "
        "levels. Mult-Adds are for a 1280×720 output. All rows are in <code>table.csv</code>.{}"
    ).format(tables.WORSE, caveat(data))
    return Section("table", "All measurements", "Table", [*blocks, Text(note, "note")])


def text_tables(data: ReportData) -> Iterator[Table]:
    """Yield the headline rows as a table per scale, for Markdown and LaTeX."""
    for scale, rows in tables.headline(data.table).groupby("scale"):
        yield Table(f"×{scale:.0f}", WRITTEN, [tables.line(row, WRITTEN) for _, row in rows.iterrows()])


def _filters(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the choices of each filter that has more than one, with the names that they are shown by."""
    files = tables.deployed(table)
    shown_by: dict[str, Callable[[Any], str]] = {
        "scale": lambda scale: f"×{scale:.0f}",
        "set": str,
        "system": str,
        "variant": lambda variant: tables.VARIANTS.get(variant, variant),
    }
    filters = [
        {"key": key, "label": key.capitalize(), "names": {value: show(value) for value in dict.fromkeys(files[key])}}
        for key, show in shown_by.items()
    ]
    return [choices for choices in filters if len(choices["names"]) > 1]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per row, the keys it is filtered by, the cells as shown, and the numbers it is sorted by."""
    headline = tables.headline(table).index
    rows = []
    for index, row in table.iterrows():
        numbers = [row[column.name] if column.number_format else "" for column in tables.COLUMNS]
        rows.append(
            {
                "keys": {key: row[key] for key in ("system", "set", "variant")} | {"scale": int(row["scale"])},
                "bicubic": row["variant"] == "bicubic",
                "headline": index in headline,
                "cells": tables.line(row, tables.COLUMNS),
                "numbers": ["" if isinstance(n, float) and math.isnan(n) else n for n in numbers],
            }
        )
    return rows
