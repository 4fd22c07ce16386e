"""Make the report from what the benchmarks measured: tables, figures, a page for the browser, and headline metrics."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import sha256, write_json

if TYPE_CHECKING:
    import pandas as pd


def report() -> None:
    params = settings.load()
    from pipeline_src.files import whole_folder
    from pipeline_src.reporting import (
        downscaling,
        figures,
        nodes,
        page,
        pruning,
        searching,
        sensitivity,
        tables,
        texts,
        threads,
    )

    measured, out = settings.results("benchmark"), settings.results("report")
    systems, sets = params.nets(), params.sets_for("evaluation")
    with tracking.stage_run("report", None, params.model_dump()) as run:
        table = tables.read(measured, systems, sets)
        pruned = pruning.compared(table, params.systems)
        swept = threads.read(measured, list(params.systems))
        sensitive = sensitivity.worst(settings.results("quantize"), list(params.systems))
        learned = [name for name, system in params.systems.items() if system.downscaler.learns]
        downscaled = downscaling.compared(downscaling.read(measured, learned, sets, "lr.csv"))
        compressed = downscaling.curves(downscaling.read(measured, learned, sets, "jpeg.csv"))
        searched, subnets = searching.read(settings.results("search"), list(params.search))
        operators = nodes.read(settings.results("nodes") / "nodes.csv")
        failing = tables.failing(measured, systems)
        provenance = page.Provenance(
            commit=tracking.git_commit(),
            params=settings.PARAMS.read_text(),
            params_sha256=sha256(settings.PARAMS),
            machines=page.read_machines(measured, systems),
            experiment=tracking.EXPERIMENT,
        )
        crops = page.find_crops(measured, systems, sets, params.report.crops)
        texts.write(table, pruned, learned, out)
        drawn: dict[str, dict[str, list[Path]]] = {}
        with whole_folder(out / "figures") as folder:
            for name, draw, of in (
                ("pareto", figures.pareto, table),
                ("waterfall", figures.waterfall, table),
                ("pruning", pruning.draw, pruned),
                ("jpeg", downscaling.draw, compressed),
                ("search", searching.draw, subnets),
            ):
                for of_set, rows in of.groupby("set", sort=False):
                    pngs = [
                        draw(rows, folder / f"{name}_{of_set}_{theme.name}.png", theme)
                        for theme in (figures.LIGHT, figures.DARK)
                    ]
                    drawn.setdefault(name, {})[str(of_set)] = [out / "figures" / png.name for png in pngs]
            for theme in (figures.LIGHT, figures.DARK):
                png = nodes.draw(operators, folder / f"nodes_{theme.name}.png", theme)
                drawn.setdefault("nodes", {}).setdefault("nodes", []).append(out / "figures" / png.name)
        first = next((crop.folders[systems[0]] for crop in crops if systems[0] in crop.folders), None)
        figures.overview(table, systems[0], first, out / "overview.png")
        page.write(
            out / "index.html",
            params.report.title,
            table,
            failing,
            sensitive,
            pruned,
            downscaled,
            compressed,
            searched,
            subnets,
            swept,
            operators,
            crops,
            drawn,
            provenance,
        )
        headline = metrics(table)
        write_json(out / "metrics.json", headline)
        run.log_metrics(_flat("", headline))
        for file in ("index.html", "table.csv", "overview.png"):
            run.log_artifact(out / file)


def metrics(table: "pd.DataFrame") -> dict[str, Any]:
    """The headline numbers, ``system → x<scale> → …``, of the deployed files (TFLite where there is one).

    Per set PSNR Y and its gain over bicubic in dB for every variant; p50 in ms, whole and per output megapixel, for
    every variant; and how many times the p50 of fp32 contains that of each smaller variant.
    """
    from pipeline_src.reporting.tables import deployed

    numbers: dict[str, Any] = {}
    for _, row in deployed(table).iterrows():
        here = numbers.setdefault(row["system"], {}).setdefault(f"x{row['scale']:.0f}", {})
        of_set = here.setdefault(row["set"], {"psnr_y_bicubic": round(row["psnr_y"] - row["gain_db"], 4)})
        of_set[f"psnr_y_{row['variant']}"] = round(row["psnr_y"], 4)
        of_set[f"gain_db_{row['variant']}"] = round(row["gain_db"], 4)
        if row["p50_ms"] > 0:
            here.setdefault("p50_ms", {})[row["variant"]] = round(row["p50_ms"], 3)
            here.setdefault("p50_ms_per_mp", {})[row["variant"]] = round(row["ms_per_mp"], 3)
    for scales in numbers.values():
        for here in scales.values():
            p50 = here.get("p50_ms", {})
            times = {v: round(p50["fp32"] / ms, 3) for v, ms in p50.items() if v != "fp32" and "fp32" in p50}
            here.update({"fp32_p50_over": times} if times else {})
    return numbers


def _flat(prefix: str, value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, float] = {}
    for key, inner in value.items():
        flat |= _flat(f"{prefix}.{key}" if prefix else key, inner)
    return flat


if __name__ == "__main__":
    command.stage(report)
