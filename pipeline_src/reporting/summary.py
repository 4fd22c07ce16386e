"""The end of a run in two lines: where the report is, and what the best int8 file gains, takes and weighs.

Nothing beside the table is read and no heavy library imported, because the launcher prints these lines too.
"""

from collections import defaultdict
from pathlib import Path

from pipeline_src.config import Params
from pipeline_src.paths import remedy
from pipeline_src.tables import Kind, Row, read_rows

INT8 = {"ptq": "int8 PTQ", "qat": "int8 QAT"}
COLUMNS: dict[str, Kind] = {
    "system": str, "variant": str, "set": str, "scale": int, "gain_db": float | None, "p50_ms": float | None,
    "settled": bool | None, "lr_height": int | None, "lr_width": int | None, "size_kib": float | None,
}  # fmt: skip


def summary(folder: Path, params: Params) -> list[str]:
    """Return the path of the page, and one sentence on the int8 file that gains most over bicubic.

    The gain is the mean over the evaluation sets, and of each net the deployed file counts: TFLite where there is one.
    Systems with a learned downscaler do not take part, because they make LR images of their own. Without an int8 file
    there is no sentence.

    Args:
        folder: that of the report, with ``table.csv``.
        params: whose systems are reported.
    """
    deployed: dict[tuple[str, str, int], dict[str, Row]] = defaultdict(dict)
    for row in read_rows(folder / "table.csv", COLUMNS, remedy("report")):
        system = params.systems.get(row["system"].partition("/")[0])
        if row["variant"] in INT8 and row["p50_ms"] and system and not system.downscaler.learns:
            deployed[row["system"], row["variant"], row["scale"]].setdefault(row["set"], row)
    files = [list(of_set.values()) for of_set in deployed.values()]
    page = str(folder / "index.html")
    return [page, _sentence(max(files, key=_gain))] if files else [page]


def _gain(rows: list[Row]) -> float:
    return float(sum(row["gain_db"] for row in rows) / len(rows))


def _sentence(rows: list[Row]) -> str:
    row = rows[0]
    height, width, scale = row["lr_height"], row["lr_width"], row["scale"]
    unsettled = "" if row["settled"] else " (not settled)"
    figures = [
        f"{_gain(rows):+.2f} dB over bicubic on {', '.join(row['set'] for row in rows)}",
        f"{row['p50_ms']:.1f} ms{unsettled} from {width}×{height} to {width * scale}×{height * scale} pixels",
        f"{row['size_kib']:.0f} KiB",
    ]
    return f"best int8 file: {row['system']} ×{row['scale']}, {INT8[row['variant']]}: {'; '.join(figures)}"
