"""What others published for the same systems, and ours beside it. The two never stand in one column."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline_src.reporting.tables import VARIANTS, deployed

PUBLISHED = Path(__file__).with_name("published.csv")
METRICS = {
    "psnr_y": "PSNR, Y",
    "ssim_y": "SSIM, Y",
    "psnr_rgb_shave1": "PSNR, RGB, shave 1",
    "psnr_rgb_shave_scale2": "PSNR, RGB, shave scale + 2",
}
PLACE = ["system", "variant", "set", "scale"]


def published() -> pd.DataFrame:
    """Figures of others: ``system,variant,set,scale,metric,value,source``; ``metric`` is a key of ``METRICS``.

    Of several figures for one place the first is the one that stands for it in ``table.csv``.
    """
    return pd.read_csv(PUBLISHED)


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """Every published figure on Y that ``table`` (as ``tables.read`` gives it) has a measurement for, with ours.

    One row per place and source: ``system``, ``variant``, ``set``, ``scale``, ``source``, our ``psnr_y`` and
    ``ssim_y`` (of the TFLite file, or the first other runtime's), ``published_psnr_y``, ``published_ssim_y`` (NaN
    where the source has none), ``difference_db`` and ``difference_ssim``, ours minus theirs.
    """
    theirs = published()
    theirs = theirs[theirs["metric"].isin(["psnr_y", "ssim_y"])]
    figures = theirs.pivot_table("value", [*PLACE, "source"], "metric", sort=False).reset_index()
    figures = figures.rename(columns={"psnr_y": "published_psnr_y", "ssim_y": "published_ssim_y"})
    ours = pd.concat([table[table["variant"] == "bicubic"], deployed(table)])[[*PLACE, "psnr_y", "ssim_y"]]
    rows = ours.merge(figures, on=PLACE)
    rows["difference_db"] = rows["psnr_y"] - rows["published_psnr_y"]
    rows["difference_ssim"] = rows["ssim_y"] - rows["published_ssim_y"]
    return rows


@dataclass(frozen=True)
class Pair:
    """Ours and theirs of one set, as text; their SSIM is empty where the source has none."""

    psnr: str
    ssim: str
    published_psnr: str
    published_ssim: str
    difference: str


@dataclass(frozen=True)
class Line:
    """One source's figures for a system and variant (as shown) on the sets of its grid; None where it has none."""

    system: str
    variant: str
    source: int
    pairs: list[Pair | None]


@dataclass(frozen=True)
class Grid:
    """Ours beside theirs at one scale: a line per system, variant and source, and of each set a pair."""

    scale: int
    sets: list[str]
    lines: list[Line]


def grids(rows: pd.DataFrame) -> tuple[list[Grid], list[str]]:
    """``rows`` of :func:`beside`, one grid per scale, and the sources that the lines cite by number, from 1."""
    sources = list(dict.fromkeys(rows["source"]))
    tables = []
    for scale in sorted(set(rows["scale"].astype(int))):
        of_scale = rows[rows["scale"] == scale]
        sets = list(dict.fromkeys(of_scale["set"]))
        lines = [
            Line(
                str(system),
                _shown(str(variant)),
                sources.index(source) + 1,
                [_pair(of[of["set"] == name]) for name in sets],
            )
            for (system, variant, source), of in of_scale.groupby(["system", "variant", "source"], sort=False)
        ]
        # a system's sources follow each other, whichever sets they have
        places = {place: at for at, place in enumerate(dict.fromkeys((line.system, line.variant) for line in lines))}
        lines.sort(key=lambda line: places[line.system, line.variant])
        tables.append(Grid(scale, sets, lines))
    return tables, sources


def _shown(variant: str) -> str:
    return "–" if variant == "bicubic" else VARIANTS.get(variant, variant)


def _pair(found: pd.DataFrame) -> Pair | None:
    if found.empty:
        return None
    row = found.iloc[0]
    ssim = "" if pd.isna(row["published_ssim_y"]) else f"{row['published_ssim_y']:.4f}"
    difference = f"{round(row['difference_db'], 2) + 0:+.2f}".replace("-", "−")
    return Pair(f"{row['psnr_y']:.2f}", f"{row['ssim_y']:.4f}", f"{row['published_psnr_y']:.2f}", ssim, difference)
