"""Section "Learned downscaling": learned LR images beside bicubic ones, how both survive JPEG, and the files."""

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline_src import paths
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, save
from pipeline_src.reporting.section import Block, Section, Table, Text, figure_per_set, table
from pipeline_src.reporting.tables import NAMED, Column, deployed
from pipeline_src.reporting.timing import precisions
from pipeline_src.tables import Kind, read_table

COLUMNS = (
    NAMED["system"],
    NAMED["scale"],
    NAMED["set"],
    Column("lr", "LR image"),
    Column("psnr_y", "PSNR Y against bicubic's LR (dB)", "{:.2f}"),
    Column("ssim_y", "SSIM Y", "{:.4f}"),
    Column("aliasing", "Aliasing (levels)", "{:.2f}"),
    Column("tone_shift", "Tone shift (levels)", "{:+.2f}"),
    Column("png_kib", "PNG (KiB)", "{:.0f}"),
)
KEY = ["system", "scale", "set", "lr"]
OF_AN_IMAGE: dict[str, Kind] = {"scale": int, "set": str, "lr": str, "psnr_y": float, "ssim_y": float}
READ: dict[str, dict[str, Kind]] = {
    "lr.csv": OF_AN_IMAGE | {"aliasing": float, "tone_shift": float, "png_bytes": int},
    "jpeg.csv": OF_AN_IMAGE | {"quality": int, "bytes": int},
}
GAINS = (
    NAMED["system"],
    NAMED["variant"],
    NAMED["scale"],
    NAMED["set"],
    Column("psnr_y", "On its learned LR: PSNR Y (dB)", "{:.2f}"),
    Column("baseline", "Baseline"),
    Column("baseline_psnr_y", "On bicubic LR: PSNR Y (dB)", "{:.2f}"),
    Column("gain", "Gain of learned downscaling (dB)", "{:+.2f}"),
)

FILES = "downscaler.csv"
FILE_COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("variant", "runtime", "set", "disagrees", "fails"), str),
    "scale": int,
    **dict.fromkeys(
        (
            "lr_psnr", "bicubic_psnr_y", "psnr_y_float", "psnr_y_int8", "hr_height", "hr_width", "runs", "p50_ms",
            "p50_low_ms", "p50_high_ms", "file_bytes", "peak_memory_mb", "off_levels",
        ),
        float | None,
    ),
    "settled": bool | None,
}  # fmt: skip
OF_FILES = (
    NAMED["system"],
    NAMED["variant"],
    NAMED["runtime"],
    NAMED["scale"],
    NAMED["set"],
    Column("lr_psnr", "LR against that of torch (dB)", "{:.1f}"),
    Column("bicubic_psnr_y", "LR against bicubic's, PSNR Y (dB)", "{:.1f}"),
    Column("psnr_y_float", "Upscaled by the fp32 net: PSNR Y (dB)", "{:.2f}"),
    Column("psnr_y_int8", "By the int8 net: PSNR Y (dB)", "{:.2f}"),
    NAMED["p50_ms"],
    Column("hr_size", "HR timed"),
    NAMED["off_levels"],
    NAMED["size_kib"],
    NAMED["peak_memory_mb"],
)


def build(data: ReportData) -> Section | None:
    """Return the section, or None if no system learns its downscaler."""
    folder, systems = paths.results("benchmark"), data.learned_downscaling
    images = compare(read(folder, systems, data.sets, "lr.csv"))
    if images.empty:
        return None
    intro = (
        "These systems make the LR image themselves, with a downscaler that was trained together with the net. It is "
        "an ordinary 8-bit image, and these systems are measured on it in every table. Other systems get LR images "
        "from bicubic, so compare the two kinds with care. Aliasing is the RMS difference in Y between the LR image "
        "and the HR image without the frequencies that the LR image cannot represent. Tone shift is the mean of Y "
        "minus that of the HR image."
    )
    gains = gains_over_baselines(data)
    gain_text = (
        "What a learned downscaler gains is the difference to its baseline: the same net, trained by the same recipe "
        "on bicubic LR, each from the weights that its row in the results names."
    )
    jpeg = curves(read(folder, systems, data.sets, "jpeg.csv"))
    lead = "Networks whose small images are made by a network too, which keeps what the other needs."
    comparison = table("Learned LR images beside bicubic ones", COLUMNS, images)
    gain = table("Learned downscaling against the same net on bicubic LR", GAINS, gains)
    blocks: list[Block] = [Text(intro), Text(gain_text), gain, comparison, figure_per_set("jpeg", jpeg, draw, describe)]
    downscalers = read_files(folder, systems, data.sets)
    if not downscalers.empty:
        text = (
            "Each downscaler is exported and measured like the nets. Its latency is of an HR image. A dash stands for "
            "LR images that are those of torch. Levels off: how far the LR image that the file gives here is from the "
            "one that torch gave at export."
        )
        wrong = downscalers[downscalers["disagrees"] != ""].drop_duplicates(["system", "variant", "runtime"])
        warnings = [
            Text(f"The downscaler of {row.system}, {row.variant} {row.runtime}, {row.disagrees}.", "warning")
            for row in wrong.itertuples()
        ]
        shown = table("The files of the downscalers", OF_FILES, downscalers)
        blocks += [Text(text), *warnings, shown]
    return Section("downscaled", "Learned downscaling", "Learned downscaling", blocks, lead=lead, folded=True)


def gains_over_baselines(data: ReportData) -> pd.DataFrame:
    """Return the deployed files of the systems that learn their downscaler beside those of their baselines.

    Returns:
        Rows with the columns of :data:`GAINS`: PSNR Y of the system on its own LR images, that of the baseline on
        bicubic ones, of the same variant, scale and set, and the difference.
    """
    files, key = deployed(data.table), ["variant", "scale", "set"]
    pairs = []
    for name in data.learned_downscaling:
        baseline = data.params.systems[name].baseline
        reference = files.loc[files["system"] == baseline, [*key, "psnr_y"]]
        pairs.append(
            files.loc[files["system"] == name, ["system", *key, "psnr_y"]]
            .merge(reference.rename(columns={"psnr_y": "baseline_psnr_y"}), on=key)
            .assign(baseline=baseline)
        )
    rows = pd.concat(pairs, ignore_index=True)
    return rows.assign(gain=rows["psnr_y"] - rows["baseline_psnr_y"])


def text_tables(data: ReportData) -> Iterator[Table]:
    """Yield the gains over the baselines, for Markdown and LaTeX."""
    if data.learned_downscaling:
        yield table("Learned downscaling against the same net on bicubic LR", GAINS, gains_over_baselines(data))


def caveat(data: ReportData) -> str:
    """Return a sentence for sections that show both kinds of systems, with a space before it; empty without a need."""
    if not data.learned_downscaling:
        return ""
    names = ", ".join(data.learned_downscaling)
    return (
        f" The LR images of {names} come from a learned downscaler, those of all other systems from bicubic: these are "
        "different tasks, so compare them with care."
    )


def read(folder: Path, systems: list[str], sets: list[str], name: str) -> pd.DataFrame:
    """Return the rows of ``<folder>/<system>/<name>`` on the given sets, of all given systems.

    Raises:
        UserError: if a file is missing or damaged.
    """
    tables = []
    for system in systems:
        rows = read_table(folder / system / name, READ[name], paths.remedy("benchmark", system))
        tables.append(rows.assign(system=system))
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["system", "set"])
    return rows[rows["set"].isin(sets)]


def read_files(folder: Path, systems: list[str], sets: list[str]) -> pd.DataFrame:
    """Return the rows of ``<folder>/<system>/downscaler.csv`` on the given sets, with the columns of ``OF_FILES``.

    A system whose downscaler has no files that are measured has no such table.

    Raises:
        UserError: if a table is damaged.
    """
    tables = []
    for system in systems:
        file = folder / system / FILES
        if file.exists():
            rows = read_table(file, FILE_COLUMNS, paths.remedy("benchmark", system)).assign(system=system)
            tables.append(rows[rows["set"].isin(sets) & (rows["fails"] == "")])
    if not tables:
        return pd.DataFrame(columns=[column.name for column in OF_FILES])
    rows = pd.concat(tables, ignore_index=True)
    rows["settled"] = rows["settled"].eq(True)
    return rows.assign(
        lr_psnr=rows["lr_psnr"].mask(rows["lr_psnr"] == math.inf),
        size_kib=rows["file_bytes"] / 1024,
        p50_note=precisions(rows),
        hr_size=[f"{row.hr_width:.0f}×{row.hr_height:.0f}" for row in rows.itertuples()],
    )


def compare(images: pd.DataFrame) -> pd.DataFrame:
    """Return the means of ``lr.csv`` over the images of each set, with the columns of :data:`COLUMNS`."""
    if images.empty:
        return pd.DataFrame(columns=[column.name for column in COLUMNS])
    is_reference = images["lr"] == "bicubic"  # its PSNR against itself is infinite
    images = images.assign(png_kib=images["png_bytes"] / 1024, psnr_y=images["psnr_y"].mask(is_reference))
    return images.groupby(KEY, sort=False).mean(numeric_only=True).reset_index()


def curves(images: pd.DataFrame) -> pd.DataFrame:
    """Return the means of ``jpeg.csv`` over the images of each set, per LR image and JPEG quality.

    ``kib`` is the size of the JPEG file.
    """
    if images.empty:
        return pd.DataFrame(columns=[*KEY, "quality", "kib", "psnr_y", "ssim_y"])
    images = images.assign(kib=images["bytes"] / 1024)
    return images.groupby([*KEY, "quality"], sort=False)[["kib", "psnr_y", "ssim_y"]].mean().reset_index()


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Draw PSNR Y of the SR image against the size of the LR image as JPEG, a panel per system and scale."""
    systems = list(rows.groupby(["system", "scale"], sort=False))
    with drawing(theme, 9.6, 0.4 + 3.4 * len(systems)) as figure:
        panels = figure.subplots(len(systems), squeeze=False)[:, 0]
        for axes, ((system, scale), points) in zip(panels, systems, strict=True):
            colours = {"learned": theme.series[0], "bicubic": theme.variants["bicubic"]}
            labels = {"learned": f"{system}, learned both ways", "bicubic": "bicubic both ways"}
            for lr, label in labels.items():
                curve = points[points["lr"] == lr]
                axes.plot(curve["kib"], curve["psnr_y"], "o-", color=colours[lr], label=label, markersize=5)
                for _, row in curve.iterrows():
                    axes.annotate(
                        f"{row['quality']:.0f}", (row["kib"], row["psnr_y"]), (0, 6), textcoords="offset points",
                        ha="center", fontsize=8, color=colours[lr],
                    )  # fmt: skip
            axes.set(
                title=f"{system} ×{scale} on {points['set'].iloc[0]}, LR stored as JPEG of quality 30 to 90",
                xlabel="mean size of the LR file (KiB)",
                ylabel="PSNR Y (dB)",
            )
            axes.margins(y=0.18)
            axes.legend(fontsize=9)
        return save(figure, path)


def describe(rows: pd.DataFrame) -> str:
    """Return the alt text of the figure; ``rows`` are of one set."""
    parts = [
        f"{system} ×{scale}, {lr} LR image: "
        + ", ".join(
            f"{row['psnr_y']:.2f} dB at quality {row['quality']:.0f} ({row['kib']:.1f} KiB)"
            for _, row in curve.iterrows()
        )
        for (system, scale, lr), curve in rows.groupby(["system", "scale", "lr"], sort=False)
    ]
    return f"PSNR Y on {rows['set'].iloc[0]} of SR images made from LR images stored as JPEG. {'. '.join(parts)}."
