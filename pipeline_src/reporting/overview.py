"""Picture for the README: one system's crops and steps to int8, and the Pareto front of all systems."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src import paths
from pipeline_src.reporting import pareto
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import LIGHT, drawing, save
from pipeline_src.reporting.labels import place_labels
from pipeline_src.reporting.sections import waterfall
from pipeline_src.reporting.sections.crops import find_crops
from pipeline_src.reporting.tables import VARIANTS, deployed

TITLES = {"hr": "HR", **VARIANTS}
CROPS = ("bicubic", "fp32", "qat", "hr")


def write(data: ReportData, path: Path) -> None:
    """Draw the overview of the first net, with the first crop of the report that shows it."""
    net = data.nets[0]
    crops = find_crops(paths.results("benchmark"), data.nets, data.sets, data.params.report.crops)
    draw(data.table, net, next((crop.folders[net] for crop in crops if net in crop.folders), None), path)


def draw(table: pd.DataFrame, net: str, crop: Path | None, path: Path) -> Path:
    """Draw crops and waterfall of one net at its first scale on the first set, beside the Pareto front of all nets.

    Args:
        table: every measured row.
        net: the net shown.
        crop: a folder with ``hr.png``, ``bicubic.png`` and an image per variant; None leaves the crops out.
        path: the PNG to write.
    """
    from PIL import Image

    files = deployed(table)
    files = files[files["system"] == net]
    key = ["scale", "set"]
    files = files[(files[key] == files[key].iloc[0]).all(axis="columns")]
    scale, set_name = files[key].iloc[0]
    rows = table[(table["scale"] == scale) & (table["set"] == set_name)]
    images = {} if crop is None else {name: png for name in CROPS if (png := crop / f"{name}.png").is_file()}
    with drawing(LIGHT, 10.4, 7.0 if images else 4.1) as figure:
        parts = figure.subfigures(2 if images else 1, 1, squeeze=False, height_ratios=[1, 1.45] if images else [1])
        top, bottom = parts[0, 0], parts[-1, 0]
        panels = top.subplots(1, len(images)) if images else []
        for axes, (name, png) in zip(panels, images.items(), strict=True):
            with Image.open(png) as image:
                axes.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")
            axes.set_title(TITLES[name], loc="center")
            axes.axis("off")
        left, right = bottom.subplots(1, 2, width_ratios=[1.5, 1])
        labels = pareto.draw_panel(left, rows, LIGHT)
        left.set(title=f"{set_name} ×{scale:.0f}", xlabel=pareto.LATENCY, ylabel="PSNR Y (dB)")
        waterfall.draw_panel(right, files, LIGHT)
        right.set(title=f"{net}, from fp32 to int8", ylabel="PSNR Y over bicubic (dB)")
        pareto.draw_legend(bottom, rows, LIGHT)
        place_labels(figure, [labels])
        return save(figure, path)
