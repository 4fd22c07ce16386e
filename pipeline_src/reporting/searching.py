"""The search among the subnets of once-for-all nets: what was measured, its front, and how well it was guided."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.reporting.figures import Theme, drawing, save
from pipeline_src.reporting.tables import NAMED, RUNTIMES, Column

COLUMNS = (
    NAMED["system"],
    NAMED["scale"],
    Column("subnets", "Subnets"),
    Column("measured", "Measured", "{:.0f}"),
    Column("tau", "Kendall's τ of the predictor"),
    Column("gained", "Hypervolume over random search"),
    Column("latency", "Error of the latency table"),
    Column("seconds", "Seconds to measure one", "{:.3f}"),
)
FRONT = (
    NAMED["system"],
    NAMED["scale"],
    Column("net", "Cut out as"),
    Column("genes", "Subnet"),
    Column("ms", "By the table (ms)", "{:.1f}"),
    Column("over_bicubic", "Over bicubic (dB)", "{:+.3f}"),
    Column("mult_adds", "Mult-Adds (G)", "{:.2f}"),
    Column("parameters", "Parameters", "{:.0f}"),
)


def read(folder: Path, systems: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the systems that were searched, :data:`COLUMNS` for each scale, and every subnet that was measured.

    A subnet's ``ms`` is that of the ``device`` it was searched for; ``set`` names the system and scale, a figure each.
    UserError if a file is missing.
    """
    facts, subnets = [], []
    for system in systems:
        path = folder / system / "subnets.csv"
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; run `python -m pipeline_src.stages.search {system}`, or `dvc repro`"
            )
        rows, metrics = pd.read_csv(path, keep_default_na=False), read_json(folder / system / "metrics.json")
        names = [str(column) for column in rows]
        device = next(name for name in names if name.startswith("ms_"))
        genes = names[names.index("scale") + 1 : names.index("over_bicubic")]
        words = [" ".join(f"{gene} {choice}" for gene, choice in row.items() if choice) for row in _rows(rows[genes])]
        rows = rows.assign(system=system, genes=words, ms=rows[device], device=_device(device.removeprefix("ms_")))
        rows["mult_adds"] /= 1e9
        rows["set"] = system + "_x" + rows["scale"].astype(str)
        subnets.append(rows)
        facts += [_facts(system, scale, rows[rows["scale"] == scale], metrics) for scale in rows["scale"].unique()]
    columns = ["set", "by", "front", *(column.name for column in FRONT)]
    whole = pd.concat(subnets, ignore_index=True) if subnets else pd.DataFrame(columns=columns)
    return pd.DataFrame(facts, columns=[column.name for column in COLUMNS]), whole


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _facts(system: str, scale: int, rows: pd.DataFrame, metrics: dict[str, Any]) -> dict[str, Any]:
    def of(name: str) -> Any:
        return metrics[f"{name}_x{scale}"]

    pairs = zip(of("hypervolume"), of("random_hypervolume"), strict=True)
    gained = [f"{100 * (found / chance - 1):+.1f} %" if chance else "–" for found, chance in pairs]
    errors = [f"{_device(device)} {100 * error:.1f} %" for device, error in metrics["latency_error"].items()]
    return {
        "system": system,
        "scale": scale,
        "subnets": f"{count:,}" if (count := of("subnets")) < 1e7 else f"{count:.1e}",
        "measured": len(rows),
        "tau": ", ".join(f"{tau:.2f}" for tau in of("kendall_tau")),
        "gained": ", ".join(gained),
        "latency": ", ".join(errors) or "a table of another device",
        "seconds": of("seconds_a_subnet"),
    }


def _device(name: str) -> str:
    runtime, _, precision = name.replace(" ", "_").partition("_")
    return f"{RUNTIMES[runtime]} {precision}"


def front(rows: pd.DataFrame) -> pd.DataFrame:
    """The subnets that none is better than at their latency, and those that were cut out; the fastest first."""
    shown = rows[(rows["front"].astype(str) == "True") | (rows["net"] != "")]
    return shown.sort_values(["system", "scale", "ms"])


def draw(rows: pd.DataFrame, path: Path, theme: Theme) -> Path:
    """Quality against latency of every subnet that was measured, random ones and those that the search asked for."""
    with drawing(theme, 9.6, 4.6) as figure:
        axes = figure.subplots()
        chance = rows["by"] == "random"
        for some, name, colour in (
            (rows[chance], "drawn at random", theme.variants["bicubic"]),
            (rows[~chance], "asked for by the search", theme.series[0]),
        ):
            axes.plot(some["ms"], some["over_bicubic"], "o", markersize=4, alpha=0.7, color=colour, label=name)
        best = front(rows[rows["front"].astype(str) == "True"])
        axes.step(best["ms"], best["over_bicubic"], where="post", color=theme.series[2], label="front")
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


def in_words(rows: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it."""
    points = [
        (f"{row['net']}: " if row["net"] else "") + f"{row['ms']:.1f} ms, {row['over_bicubic']:+.2f} dB"
        for _, row in front(rows).iterrows()
    ]
    first = rows.iloc[0]
    return (
        f"PSNR Y over bicubic on validation images against {first['device']} latency of {len(rows)} subnets of "
        f"{first['system']} ×{first['scale']}. The front, fastest first: {'; '.join(points)}."
    )
