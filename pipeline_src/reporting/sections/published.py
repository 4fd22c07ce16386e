"""Section "Compared with published figures": our measurements beside the figures that others published."""

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Details, Section, Table, Template, Text
from pipeline_src.reporting.tables import VARIANTS, Column, deployed

PUBLISHED = Path(__file__).parents[1] / "published.csv"
METRICS = {
    "psnr_y": "PSNR, Y",
    "ssim_y": "SSIM, Y",
    "psnr_rgb_shave1": "PSNR, RGB, shave 1",
    "psnr_rgb_shave_scale2": "PSNR, RGB, shave scale + 2",
}
KEY = ["system", "variant", "set", "scale"]
COLUMNS = (
    Column("system", "System"),
    Column("variant", "Variant"),
    Column("set", "Set"),
    Column("scale", "Scale", "×{:.0f}"),
    Column("metric", "Metric"),
    Column("value", "Published", "{:.2f}"),
    Column("ours", "Ours", "{:.2f}"),
    Column("source", "Source"),
)


@dataclass(frozen=True)
class Pair:
    """Our figures and the published ones on one set, as text; an SSIM that the source lacks is empty."""

    psnr: str
    ssim: str
    published_psnr: str
    published_ssim: str
    difference: str


@dataclass(frozen=True)
class Line:
    """The figures of one source for a system and variant, as shown, with a pair per set of the grid, or None."""

    system: str
    variant: str
    source: int
    pairs: list[Pair | None]


@dataclass(frozen=True)
class Grid:
    """Comparison at one scale: a line per system, variant and source, and in each line a pair per set."""

    scale: int
    sets: list[str]
    lines: list[Line]


def build(data: ReportData) -> Section:
    """Return the section: a grid per scale, and below it all that was published about these systems."""
    lead = "Our measurements beside those of papers and of other programs."
    comparison, sources = grids(compare(data.table))
    blocks: list[Block]
    if comparison:
        intro = Markup(
            "PSNR Y in dB with SSIM Y below it; Δ is our figure minus the published one, in dB. The published "
            "figures come from other training runs, and some from another measurement protocol: the source says so "
            "as far as it is known, and <code>docs/protocol.md</code> discusses the effect."
        )
        blocks = [Text(intro), Template("sections/published.html", {"grids": comparison, "sources": sources})]
    else:
        blocks = [Text(f"No figures of these systems on {', '.join(data.sets)} have been published that we know of.")]
    figures = read()
    figures = figures[figures["system"].isin(data.table["system"])]
    if not figures.empty:
        summary = f"All {len(figures)} published figures of these systems, with those on other sets and protocols"
        beside_ours = figures.merge(deployed(data.table), how="left", on=KEY)
        rows = [_cells(row) for row in beside_ours.to_dict("records")]
        blocks.append(Details(summary, [Table("Published figures", COLUMNS, rows, tall=True)]))
    return Section("published", "Compared with published figures", "Published", blocks, lead=lead, folded=True)


def text_tables(data: ReportData) -> Iterator[Table]:
    """Yield the comparison as a table per scale, for Markdown and LaTeX."""
    for grid in grids(compare(data.table))[0]:
        columns = [Column("system", "System"), Column("variant", "Variant"), Column("source", "Source")]
        for name in grid.sets:
            columns += [
                Column("ours", f"{name}: ours", "{}"),
                Column("published", "published", "{}"),
                Column("difference", "difference (dB)", "{}"),
            ]
        rows = [
            [
                line.system,
                line.variant,
                f"[{line.source}]",
                *(cell for pair in line.pairs for cell in _pair_cells(pair)),
            ]
            for line in grid.lines
        ]
        yield Table(f"×{grid.scale}, ours beside published: PSNR Y / SSIM Y", columns, rows)


def cited_sources(data: ReportData) -> list[str]:
    """Return the sources that the tables of :func:`text_tables` cite, with their numbers."""
    return [f"[{number}] {source}" for number, source in enumerate(grids(compare(data.table))[1], 1)]


def read() -> pd.DataFrame:
    """Return the published figures: ``system,variant,set,scale,metric,value,source``; ``metric`` is in ``METRICS``.

    Of several figures for the same ``KEY``, ``table.csv`` shows the first.
    """
    return pd.read_csv(PUBLISHED)


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """Return every published figure on Y that was measured here too, with our measurement.

    Args:
        table: every measured row, as :func:`tables.read` returns it.

    Returns:
        A row per ``KEY`` and source, with our ``psnr_y`` and ``ssim_y`` (of the :func:`deployed` file),
        ``published_psnr_y``, ``published_ssim_y`` (NaN where the source has none), and ``difference_db`` and
        ``difference_ssim``, ours minus published.
    """
    figures = read()
    figures = figures[figures["metric"].isin(["psnr_y", "ssim_y"])]
    figures = figures.pivot_table("value", [*KEY, "source"], "metric", sort=False).reset_index()
    figures = figures.rename(columns={"psnr_y": "published_psnr_y", "ssim_y": "published_ssim_y"})
    ours = pd.concat([table[table["variant"] == "bicubic"], deployed(table)])[[*KEY, "psnr_y", "ssim_y"]]
    rows = ours.merge(figures, on=KEY)
    rows["difference_db"] = rows["psnr_y"] - rows["published_psnr_y"]
    rows["difference_ssim"] = rows["ssim_y"] - rows["published_ssim_y"]
    return rows


def grids(rows: pd.DataFrame) -> tuple[list[Grid], list[str]]:
    """Arrange the rows of :func:`compare` as one grid per scale.

    Returns:
        The grids, and the sources that their lines cite by number, counted from 1.
    """
    sources = list(dict.fromkeys(rows["source"]))
    comparison = []
    for scale in sorted(set(rows["scale"].astype(int))):
        of_scale = rows[rows["scale"] == scale]
        sets = list(dict.fromkeys(of_scale["set"]))
        lines = [
            Line(
                str(system),
                _shown(str(variant)),
                sources.index(source) + 1,
                [_pair(figures[figures["set"] == name]) for name in sets],
            )
            for (system, variant, source), figures in of_scale.groupby(["system", "variant", "source"], sort=False)
        ]
        # keep the sources of a system together, even if they cover different sets
        order = list(dict.fromkeys((line.system, line.variant) for line in lines))
        lines.sort(key=lambda line: order.index((line.system, line.variant)))
        comparison.append(Grid(scale, sets, lines))
    return comparison, sources


def _shown(variant: str) -> str:
    return "–" if variant == "bicubic" else VARIANTS.get(variant, variant)


def _pair(rows: pd.DataFrame) -> Pair | None:
    if rows.empty:
        return None
    row = rows.iloc[0]
    ssim = "" if pd.isna(row["published_ssim_y"]) else f"{row['published_ssim_y']:.4f}"
    difference = f"{round(row['difference_db'], 2) + 0:+.2f}".replace("-", "−")
    return Pair(f"{row['psnr_y']:.2f}", f"{row['ssim_y']:.4f}", f"{row['published_psnr_y']:.2f}", ssim, difference)


def _pair_cells(pair: Pair | None) -> list[str]:
    """Return our figures, the published ones and the difference as the cells of a text table."""
    if pair is None:
        return ["–"] * 3
    published = f"{pair.published_psnr} / {pair.published_ssim}" if pair.published_ssim else pair.published_psnr
    return [f"{pair.psnr} / {pair.ssim}", published, pair.difference]


def _cells(row: Mapping[Hashable, Any]) -> list[str]:
    """Return a published figure and that of our file, if there is one, as shown; SSIM has four decimals, PSNR two."""
    decimals = 4 if row["metric"] == "ssim_y" else 2
    ours = row.get(row["metric"], math.nan)
    figures = ["–" if pd.isna(figure) else f"{float(figure):.{decimals}f}" for figure in (row["value"], ours)]
    variant = VARIANTS.get(row["variant"], row["variant"])
    return [row["system"], variant, row["set"], f"×{row['scale']}", METRICS[row["metric"]], *figures, row["source"]]
