"""Section "Once-for-all search": the measured subnets, their Pareto front, and the quality of the search."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import create_model

from pipeline_src import paths
from pipeline_src.files import read_json
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.drawing import Theme, drawing, save
from pipeline_src.reporting.section import Block, Details, Section, Text, figure_per_set, table
from pipeline_src.reporting.tables import NAMED, RUNTIMES, Column
from pipeline_src.tables import Kind, read_table

COLUMNS = (
    NAMED["system"],
    NAMED["scale"],
    Column("subnets", "Subnets"),
    Column("measured", "Measured", "{:.0f}"),
    Column("tau", "Kendall's τ of the predictor"),
    Column("gained", "Hypervolume over random search"),
    Column("latency", "Median error of the latency table"),
    Column("seconds", "Seconds per measurement", "{:.3f}"),
)
SUBNET_COLUMNS = (
    NAMED["system"],
    NAMED["scale"],
    Column("net", "Extracted as"),
    Column("genes", "Subnet"),
    Column("ms", "Latency by the table (ms)", "{:.1f}"),
    Column("over_bicubic", "Over bicubic (dB)", "{:+.3f}"),
    Column("mult_adds", "Mult-Adds (G)", "{:.2f}"),
    Column("parameters", "Parameters", "{:.0f}"),
)

SUBNETS: dict[str, Kind] = {
    "by": str, "scale": int, "over_bicubic": float, "mult_adds": float, "parameters": int, "net": str, "front": bool,
}  # fmt: skip
METRICS = {  # of each scale
    "hypervolume": list[float], "random_hypervolume": list[float], "kendall_tau": list[float],
    "subnets": int, "seconds_a_subnet": float,
}  # fmt: skip


def build(data: ReportData) -> Section | None:
    """Return the section, or None if no system was searched."""
    searches, subnets = read(list(data.params.search))
    if searches.empty:
        return None
    intro = (
        "Each of these systems is one trained supernet, and every subnet of it is a working net. A search looked for "
        "the subnets with the best quality for their cost: a latency table of this machine gives the latency of a "
        "subnet, and a predictor, trained on measured subnets, estimates its quality. The most promising subnets "
        "were then measured. For comparison, a random search measured the same number of subnets. Hypervolume is the "
        "area that a Pareto front dominates, with a value for each seed. Kendall's τ is the rank correlation between "
        "predicted and measured quality of subnets that the predictor was not trained on. The error of the latency "
        "table is the median over complete subnets whose own latency has settled. The extracted subnets were "
        "fine-tuned, quantised and exported, and appear in all other tables and figures of this page."
    )
    listed = pareto_and_extracted(subnets)
    lead = "The best parts of one large network for the time that they take on this machine."
    blocks: list[Block] = [
        Text(intro),
        table("Searches", COLUMNS, searches),
        figure_per_set("search", subnets, draw, describe),
        Details(
            f"The {len(listed)} subnets that are Pareto-optimal or were extracted",
            [table("Pareto-optimal and extracted subnets", SUBNET_COLUMNS, listed, tall=True)],
        ),
    ]
    return Section("search", "Search for networks", "Search", blocks, lead=lead, folded=True)


def read(systems: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the searches of the given systems.

    Args:
        systems: names of once-for-all systems.

    Returns:
        A table of searches with :data:`COLUMNS`, a row per system and scale; and a table of all measured subnets, whose
        ``ms`` is the latency on the ``device`` that was searched for. Its ``set`` names system and scale; each set has
        a figure.

    Raises:
        UserError: if a file is missing or damaged.
    """
    searches, subnets = [], []
    for system in systems:
        folder, remedy = paths.smaller_nets("search", system), paths.remedy("search", system)
        rows = _read_subnets(folder / "subnets.csv", system, remedy)
        subnets.append(rows)
        scales = rows["scale"].unique()
        of_scales: dict[str, Any] = {f"{name}_x{scale}": kind for name, kind in METRICS.items() for scale in scales}
        kind = create_model("Metrics", latency_error=dict[str, float], **of_scales)
        metrics = read_json(folder / "metrics.json", kind, remedy).model_dump()
        searches += [_summary(system, scale, rows[rows["scale"] == scale], metrics) for scale in scales]
    columns = ["set", "by", "front", *(column.name for column in SUBNET_COLUMNS)]
    measured = pd.concat(subnets, ignore_index=True) if subnets else pd.DataFrame(columns=columns)
    return pd.DataFrame(searches, columns=[column.name for column in COLUMNS]), measured


def _read_subnets(path: Path, system: str, remedy: str) -> pd.DataFrame:
    """Return the rows of subnets.csv with the columns ``system``, ``set``, ``genes``, ``ms`` and ``device``."""
    rows = read_table(path, SUBNETS, remedy, others=str)  # genes and devices differ from net to net
    columns = [str(column) for column in rows]
    latency = next((column for column in columns if column.startswith("ms_")), "ms_<device>")
    ms = read_table(path, {latency: float}, remedy)[latency]
    genes = columns[columns.index("scale") + 1 : columns.index("over_bicubic")]
    texts = [" ".join(f"{gene} {n}" for gene, n in row.items() if n != "0") for row in _rows(rows[genes])]
    rows = rows.assign(system=system, genes=texts, ms=ms, device=_device(latency.removeprefix("ms_")))
    rows["mult_adds"] /= 1e9
    rows["set"] = system + "_x" + rows["scale"].astype(str)
    return rows


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _summary(system: str, scale: int, rows: pd.DataFrame, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one search; ``metrics`` is the metrics.json of the stage search."""
    pairs = zip(metrics[f"hypervolume_x{scale}"], metrics[f"random_hypervolume_x{scale}"], strict=True)
    gained = [f"{100 * (searched / random - 1):+.1f} %" if random else "–" for searched, random in pairs]
    errors = [f"{_device(device)} {100 * error:.1f} %" for device, error in metrics["latency_error"].items()]
    count = metrics[f"subnets_x{scale}"]
    return {
        "system": system,
        "scale": scale,
        "subnets": f"{count:,}" if count < 1e7 else f"{count:.1e}",
        "measured": len(rows),
        "tau": ", ".join(f"{tau:.2f}" for tau in metrics[f"kendall_tau_x{scale}"]),
        "gained": ", ".join(gained),
        "latency": ", ".join(errors) or "not checked here",
        "seconds": metrics[f"seconds_a_subnet_x{scale}"],
    }


def _device(name: str) -> str:
    """Return how the page names a device, such as ``TFLite int8`` for ``tflite int8`` or ``tflite_int8``."""
    runtime, _, precision = name.replace(" ", "_").partition("_")
    return f"{RUNTIMES[runtime]} {precision}"


def _pareto_front(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the search has marked as Pareto-optimal, the fastest first."""
    return rows[rows["front"]].sort_values(["system", "scale", "ms"])


def pareto_and_extracted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the Pareto-optimal subnets and those that were extracted, the fastest first."""
    listed = rows[rows["front"] | (rows["net"] != "")]
    return listed.sort_values(["system", "scale", "ms"])


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Draw quality against latency of all measured subnets, with the Pareto front and the extracted subnets marked."""
    with drawing(theme, 9.6, 4.6) as figure:
        axes = figure.subplots()
        is_random = rows["by"] == "random"
        for points, label, colour in (
            (rows[is_random], "sampled at random", theme.variants["bicubic"]),
            (rows[~is_random], "proposed by the search", theme.series[0]),
        ):
            axes.plot(points["ms"], points["over_bicubic"], "o", markersize=4, alpha=0.7, color=colour, label=label)
        front = _pareto_front(rows)
        axes.step(front["ms"], front["over_bicubic"], where="post", color=theme.series[2], label="Pareto front")
        for _, row in rows[rows["net"] != ""].iterrows():
            axes.plot(row["ms"], row["over_bicubic"], "D", markersize=9, color=theme.series[1])
            axes.annotate(
                row["net"], (row["ms"], row["over_bicubic"]), (8, -12), textcoords="offset points",
                color=theme.series[1], weight="bold",
            )  # fmt: skip
        first = rows.iloc[0]
        axes.set(
            title=f"Subnets of {first['system']} ×{first['scale']}",
            xlabel=f"{first['device']} latency by the table (ms)",
            ylabel="PSNR Y over bicubic (dB), validation",
        )
        axes.legend(fontsize=9, loc="lower right")
        return save(figure, path)


def describe(rows: pd.DataFrame) -> str:
    """Return the alt text of the figure; ``rows`` are of one system and scale."""
    points = [
        (f"{row['net']}: " if row["net"] else "") + f"{row['ms']:.1f} ms, {row['over_bicubic']:+.2f} dB"
        for _, row in pareto_and_extracted(rows).iterrows()
    ]
    first = rows.iloc[0]
    return (
        f"PSNR Y over bicubic on validation images against {first['device']} latency of {len(rows)} subnets of "
        f"{first['system']} ×{first['scale']}. Pareto-optimal and extracted subnets, fastest first: "
        f"{'; '.join(points)}."
    )
