"""Learned downscaling: the small images beside bicubic's, and what JPEG leaves of either."""

from pathlib import Path

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.reporting.figures import Theme, drawing, save
from pipeline_src.reporting.tables import NAMED, Column

COLUMNS = (
    NAMED["system"],
    NAMED["scale"],
    NAMED["set"],
    Column("lr", "LR image"),
    Column("psnr_y", "To bicubic's LR, PSNR Y (dB)", "{:.2f}"),
    Column("ssim_y", "SSIM Y", "{:.4f}"),
    Column("aliasing", "Aliasing (levels)", "{:.2f}"),
    Column("tone_shift", "Tone shift (levels)", "{:+.2f}"),
    Column("png_kib", "PNG (KiB)", "{:.0f}"),
)
PLACE = ["system", "scale", "set", "lr"]


def read(folder: Path, systems: list[str], sets: list[str], name: str) -> pd.DataFrame:
    """The rows of ``<folder>/<system>/<name>`` of the named sets, of all systems (those whose downscaler learns)."""
    tables = []
    for system in systems:
        path = folder / system / name
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; run `python -m pipeline_src.stages.benchmark {system}`, or `dvc repro`"
            )
        tables.append(pd.read_csv(path).assign(system=system))
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["system", "set"])
    return rows[rows["set"].isin(sets)]


def compared(images: pd.DataFrame) -> pd.DataFrame:
    """The means of ``lr.csv`` over the images of each set, for :data:`COLUMNS`."""
    if images.empty:
        return pd.DataFrame(columns=[column.name for column in COLUMNS])
    same = images["lr"] == "bicubic"  # to itself it is infinitely near
    images = images.assign(png_kib=images["png_bytes"] / 1024, psnr_y=images["psnr_y"].mask(same))
    return images.groupby(PLACE, sort=False).mean(numeric_only=True).reset_index()


def curves(images: pd.DataFrame) -> pd.DataFrame:
    """The means of ``jpeg.csv`` over the images of each set, per system, LR image and quality, ``kib`` the file's."""
    if images.empty:
        return pd.DataFrame(columns=[*PLACE, "quality", "kib", "psnr_y", "ssim_y"])
    images = images.assign(kib=images["bytes"] / 1024)
    return images.groupby([*PLACE, "quality"], sort=False)[["kib", "psnr_y", "ssim_y"]].mean().reset_index()


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """PSNR Y of what is rebuilt from LR images stored as JPEG, against the size of the file; a panel per system."""
    shown = list(rows.groupby(["system", "scale"], sort=False))
    with drawing(theme, 9.6, 0.4 + 3.4 * len(shown)) as figure:
        panels = figure.subplots(len(shown), squeeze=False)[:, 0]
        for axes, ((system, scale), its) in zip(panels, shown, strict=True):
            colours = {"learned": theme.series[0], "bicubic": theme.variants["bicubic"]}
            names = {"learned": f"{system}, learned both ways", "bicubic": "bicubic both ways"}
            for lr, words in names.items():
                curve = its[its["lr"] == lr]
                axes.plot(curve["kib"], curve["psnr_y"], "o-", color=colours[lr], label=words, markersize=5)
                for _, row in curve.iterrows():
                    axes.annotate(
                        f"{row['quality']:.0f}", (row["kib"], row["psnr_y"]), (0, 6), textcoords="offset points",
                        ha="center", fontsize=8, color=colours[lr],
                    )  # fmt: skip
            axes.set(
                title=f"{system} ×{scale} on {its['set'].iloc[0]}, LR stored as JPEG of quality 30 to 90",
                xlabel="mean size of the LR file (KiB)",
                ylabel="PSNR Y (dB)",
            )
            axes.margins(y=0.18)
            axes.legend(fontsize=9)
        return save(figure, path)


def in_words(rows: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it."""
    parts = [
        f"{system} ×{scale}, {lr} LR image: "
        + ", ".join(
            f"{row['psnr_y']:.2f} dB at quality {row['quality']:.0f} ({row['kib']:.1f} KiB)"
            for _, row in its.iterrows()
        )
        for (system, scale, lr), its in rows.groupby(["system", "scale", "lr"], sort=False)
    ]
    return f"PSNR Y on {rows['set'].iloc[0]} of what is rebuilt from LR images stored as JPEG. {'. '.join(parts)}."
