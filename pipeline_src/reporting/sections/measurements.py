"""Section "All measurements": every row in a table that the reader can sort, filter and fold."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline_src import paths
from pipeline_src.reporting import tables
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Details, Items, Section, Table, Template, Text
from pipeline_src.reporting.sections.downscaling import caveat
from pipeline_src.reporting.sections.provenance import mixed, read_machines

LARGEST_FIRST = {"psnr_y", "ssim_y", "gain_db"}  # columns that are sorted from large to small at the first click
WRITTEN = [column for column in tables.COLUMNS if column.name != "scale"]  # as text there is one table per scale
DEVICE = tables.Column("device", "Device")
SHOWN = (
    "system",
    "variant",
    "runtime",
    "device",
    "scale",
    "set",
    "psnr_y",
    "gain_db",
    "p50_ms",
    "size_kib",
)  # at first
FILTERS = ("scale", "set", "device", "system", "variant")


def build(data: ReportData) -> Section:
    """Return the section, with a warning about files that could not be run."""
    columns = _columns(data)
    headline = {index for device in data.devices for index in tables.headline(data.on(device)).index}
    values = {
        "filters": _filters(columns),
        "data": {
            "columns": columns,
            "headline": [int(index in headline) for index in data.table.index],
            "bicubic": data.table["variant"].eq("bicubic").astype(int).tolist(),
        },
    }
    blocks: list[Block] = [Template("sections/measurements.html", values)]
    if machines := mixed(read_machines(paths.results("benchmark"), data.nets)):
        blocks.insert(0, Text(machines, "warning"))
    failing = tables.failing(paths.results("benchmark"), data.nets, data.devices[1:])
    if not failing.empty:
        files = [f"{' '.join(tables.line(row, tables.COLUMNS[:4]))}: {row['fails']}" for _, row in failing.iterrows()]
        blocks += [Text("These files do not run on the machine that measured:", "warning"), Items(files)]
    note = Markup(
        "Of each network and precision the table shows the file for TFLite; “every runtime” shows all files. PSNR Y is "
        "the likeness to the original photograph in dB, and bicubic is the method without a "
        "network. p50 is the median time from image to image, ± the distance to the farther end of its "
        "95 % confidence interval. A latency with its number of runs in brackets has not settled: it rests on too few "
        "calls, or its interval is too wide, and is compared with no other. “LR timed” is the size of the image that "
        "was enlarged; compare networks of different sizes by the p50 per output megapixel. “Faster still” names "
        "another runtime’s file of the same network that takes less time and is at most {} dB worse. “Levels off” is "
        "the largest difference from the image at export, in 8-bit levels. Mult-Adds are for a 1280×720 output. "
        "<code>docs/protocol.md</code> defines all of it, and <code>table.csv</code> holds all rows.{}"
    ).format(tables.WORSE, caveat(data))
    folded = Details("What the columns mean", [Text(note)])
    return Section("table", "All measurements", "Table", [*blocks, folded])


def text_tables(data: ReportData) -> Iterator[Table]:
    """Yield the headline rows as a table per scale, for Markdown and LaTeX."""
    for scale, rows in tables.headline(data.table).groupby("scale"):
        yield Table(f"×{scale:.0f}", WRITTEN, [tables.line(row, WRITTEN) for _, row in rows.iterrows()])


def _columns(data: ReportData) -> list[dict[str, Any]]:
    """Return every column as the page's scripts read it; that of the device only if there are several."""
    device = [DEVICE] if len(data.devices) > 1 else []
    columns = [*tables.COLUMNS[:3], *device, *tables.COLUMNS[3:]]
    return [_column(column, data.table) for column in columns]


def _column(column: tables.Column, table: pd.DataFrame) -> dict[str, Any]:
    """Return a column as the list of its different cells, and for each row the place of its cell in that list."""
    values = table[column.name].where(table["variant"] != "bicubic", "") if column is DEVICE else table[column.name]
    notes = table[column.note] if column.note else pd.Series("", table.index)
    pairs = pd.Series([*zip(values.astype(object).where(values.notna(), None), notes, strict=True)])
    places, different = pd.factorize(pairs)
    return {
        "name": column.name,
        "title": column.title,
        "number": bool(column.number_format),
        "largestFirst": column.name in LARGEST_FIRST,
        "shown": column.name in SHOWN,
        "texts": [f"{tables.cell(column, value)}{f' {note}' if note else ''}" for value, note in different],
        "numbers": [value for value, _ in different] if column.number_format else [],
        "cells": places.tolist(),
    }


def _filters(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the choices of each filter that has more than one."""
    choices = {column["name"]: [name for name in column["texts"] if name not in ("–", "bicubic")] for column in columns}
    return [
        {"key": key, "label": key.capitalize(), "names": choices[key]}
        for key in FILTERS
        if len(choices.get(key, [])) > 1
    ]
