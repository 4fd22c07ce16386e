"""The tables ``images.csv`` and ``benchmark.csv`` that the stage benchmark writes for each net of a system."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline_src.benchmarking.keys import KEY_COLUMNS, FileKey, Row
from pipeline_src.deployment.cards import Card
from pipeline_src.errors import UserError
from pipeline_src.tables import write_table

QUALITY_COLUMNS = ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "psnr_rgb_shave1"]


def main_net(system: str, files: dict[Path, Card]) -> str:
    """Return the net whose crops are shown: the system itself, or the first subnet if only subnets are exported.

    Raises:
        UserError: if ``files`` is empty.
    """
    nets = [card.system for card in files.values()]
    if not nets:
        raise UserError(f"no exported file of {system} can be run here; run the stage export again")
    return system if system in nets else nets[0]


def net_folder(out: Path, net: str) -> Path:
    """Return the folder for the results of a net: ``out`` for the system, ``out/<name>`` for ``<system>/<name>``."""
    return out / net.partition("/")[2]


def combine(
    images: list[Row], costs: pd.DataFrame, agreements: list[Row], exported: dict[Path, Card], sets: list[str]
) -> pd.DataFrame:
    """Return one row per upscaler and set, with the columns of ``benchmark.csv``.

    Args:
        images: quality, one row per image.
        costs: one row per file.
        agreements: one row per file.
        exported: all exported files with their cards; a file that cannot be run gets empty rows.
        sets: the evaluation sets.
    """
    groups = pd.DataFrame(images).groupby([*KEY_COLUMNS, "set"], sort=False)
    means = groups[QUALITY_COLUMNS].mean()
    means.insert(0, "images", groups.size())
    table = means.reset_index()
    for per_file in (costs, pd.DataFrame(agreements)):
        table = table.merge(per_file, how="left", on=KEY_COLUMNS)
    return pd.concat([table.assign(fails=""), pd.DataFrame(_failing_rows(exported, sets))], ignore_index=True)


def _failing_rows(exported: dict[Path, Card], sets: list[str]) -> Iterator[Row]:
    for card in exported.values():
        if card.fails:
            yield from (FileKey.of(card).columns() | {"set": name, "fails": card.fails} for name in sets)


def write(out: Path, files: dict[Path, Card], images: list[Row], table: pd.DataFrame) -> None:
    """Write ``images.csv`` and ``benchmark.csv`` of each net; the bicubic rows of its scales get the net's name."""
    scales: dict[str, set[int]] = {}
    for card in files.values():
        scales.setdefault(card.system, set()).add(card.scale)
    for net, net_scales in scales.items():
        for rows, name in ((pd.DataFrame(images), "images.csv"), (table, "benchmark.csv")):
            is_of_net = rows["system"].eq(net) | rows["variant"].eq("bicubic")
            rows = rows[is_of_net & rows["scale"].isin(net_scales)]
            write_table(net_folder(out, net) / name, rows.assign(system=net))


def tracked_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the figures that MLflow shows, such as ``fp32_onnx_x3_Set5_psnr_y`` and ``l1_50_fp32_onnx_x3_p50_ms``.

    A latency has its number of calls beside it (``…_runs``), and one that has not settled is only that number.
    """
    metrics: dict[str, float] = {}
    for row in table[(table["runtime"] != "") & (table["fails"] == "")].to_dict("records"):
        name = "_".join([*row["system"].split("/")[1:], row["variant"], row["runtime"], f"x{row['scale']}"])
        metrics |= {f"{name}_{row['set']}_psnr_y": row["psnr_y"], f"{name}_runs": row["runs"]}
        if row["settled"]:
            metrics[f"{name}_p50_ms"] = row["p50_ms"]
    return metrics
