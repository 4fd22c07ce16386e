"""Section "Devices": the same files on every device beside the machine that ran the pipeline."""

import pandas as pd

from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Section, Text, table
from pipeline_src.reporting.tables import RUNTIMES, Column
from pipeline_src.reporting.timing import settled

KEY = ["system", "variant", "runtime", "scale"]
COLUMNS = (
    Column("device", "Device"),
    Column("runtime", "Runtime"),
    Column("precision", "Precision"),
    Column("files", "Files measured", "{:.0f}"),
    Column("settled", "Settled", "{:.0f}"),
    Column("others", "Give another image", "{:.0f}"),
    Column("unknown", "Image not compared", "{:.0f}"),
    Column("times", "Time against the first device, median", "{:.2f}×"),
)


def build(data: ReportData) -> Section | None:
    """Return the section, on all systems, or None if there is one device only."""
    data = data.whole
    if len(data.devices) < 2:
        return None
    lead = f"The same files on {len(data.devices)} devices: {', '.join(data.devices)}."
    intro = (
        "Times are those of the whole file, from image to image, and each is divided by that of the same file on the "
        "first device, if both have settled. A file that gives another image on a device computes another network "
        "there, and takes no part in any choice."
    )
    blocks: list[Block] = [Text(intro), table("Devices", COLUMNS, compare(data), tall=True)]
    return Section("devices", "Devices", "Devices", blocks, lead=lead, folded=True)


def compare(data: ReportData) -> pd.DataFrame:
    """Return a row per device, runtime and precision, with the columns of :data:`COLUMNS`."""
    timed = data.table[data.table["p50_ms"].notna()].drop_duplicates(["device", *KEY])
    first = settled(timed[timed["device"] == data.devices[0]])[[*KEY, "p50_ms"]]
    beside = timed.merge(first, how="left", on=KEY, suffixes=("", "_first"))
    beside["times"] = (beside["p50_ms"] / beside["p50_ms_first"]).where(beside["settled"].astype(bool))
    beside["others"], beside["unknown"] = beside["disagrees"] != "", beside["off_levels"].isna()
    beside["precision"] = beside["variant"].eq("fp32").map({True: "fp32", False: "int8"})
    groups = beside.groupby(["device", "runtime", "precision"], sort=False)
    rows = groups.agg(
        files=("times", "size"),
        settled=("settled", "sum"),
        others=("others", "sum"),
        unknown=("unknown", "sum"),
        times=("times", "median"),
    ).reset_index()
    order = {name: place for place, name in enumerate([*data.devices, *RUNTIMES, "fp32", "int8"])}
    return rows.sort_values(["device", "runtime", "precision"], key=lambda names: names.map(order), ignore_index=True)
