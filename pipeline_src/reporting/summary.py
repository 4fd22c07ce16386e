"""The end of a run in two lines: where the report is, and what the best int8 file gains, takes and weighs.

Nothing beside the table is read and no heavy library imported, because the launcher prints these lines too.
"""

import csv
from collections import defaultdict
from pathlib import Path

from pipeline_src.config import Params

INT8 = {"ptq": "int8 PTQ", "qat": "int8 QAT"}


def summary(folder: Path, params: Params) -> list[str]:
    """Return the path of the page, and one sentence on the int8 file that gains most over bicubic.

    The gain is the mean over the evaluation sets, and of each net the deployed file counts: TFLite where there is one.
    Systems with a learned downscaler do not take part, because they make LR images of their own. Without an int8 file
    there is no sentence.

    Args:
        folder: that of the report, with ``table.csv``.
        params: whose systems are reported.
    """
    deployed: dict[tuple[str, ...], dict[str, dict[str, str]]] = defaultdict(dict)
    with (folder / "table.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            system = params.systems.get(row["system"].partition("/")[0])
            if row["variant"] in INT8 and row["p50_ms"] and system and not system.downscaler.learns:
                deployed[row["system"], row["variant"], row["scale"]].setdefault(row["set"], row)
    files = [list(of_set.values()) for of_set in deployed.values()]
    page = str(folder / "index.html")
    return [page, _sentence(max(files, key=_gain))] if files else [page]


def _gain(rows: list[dict[str, str]]) -> float:
    return sum(float(row["gain_db"]) for row in rows) / len(rows)


def _sentence(rows: list[dict[str, str]]) -> str:
    row = rows[0]
    height, width, scale = int(row["lr_height"]), int(row["lr_width"]), int(row["scale"])
    unsettled = "" if row["settled"] == "True" else " (not settled)"
    figures = [
        f"{_gain(rows):+.2f} dB over bicubic on {', '.join(row['set'] for row in rows)}",
        f"{float(row['p50_ms']):.1f} ms{unsettled} from {width}×{height} to {width * scale}×{height * scale} pixels",
        f"{float(row['size_kib']):.0f} KiB",
    ]
    return f"best int8 file: {row['system']} ×{row['scale']}, {INT8[row['variant']]}: {'; '.join(figures)}"
