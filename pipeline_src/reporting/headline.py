"""Headline metrics of the report, as ``metrics.json`` and MLflow keep them."""

from typing import Any

import pandas as pd

from pipeline_src import paths
from pipeline_src.reporting.sections.provenance import LABELS, read_machines
from pipeline_src.reporting.tables import VARIANTS, deployed


def metrics(table: pd.DataFrame) -> dict[str, Any]:
    """Return the headline numbers of the deployed files (TFLite where there is one), ``system → x<scale> → …``.

    Per set: PSNR Y in dB and its gain over bicubic in dB, for every variant. Per variant, if its latency has settled:
    p50 latency in ms, in total and per output megapixel. ``fp32_p50_over`` is the p50 of fp32 divided by that of each
    smaller variant.
    """
    numbers: dict[str, Any] = {}
    for row in deployed(table).to_dict("records"):
        of_scale = numbers.setdefault(row["system"], {}).setdefault(f"x{row['scale']:.0f}", {})
        of_set = of_scale.setdefault(row["set"], {"psnr_y_bicubic": round(row["psnr_y"] - row["gain_db"], 4)})
        of_set[f"psnr_y_{row['variant']}"] = round(row["psnr_y"], 4)
        of_set[f"gain_db_{row['variant']}"] = round(row["gain_db"], 4)
        if row["settled"]:
            of_scale.setdefault("p50_ms", {})[row["variant"]] = round(row["p50_ms"], 3)
            of_scale.setdefault("p50_ms_per_mp", {})[row["variant"]] = round(row["ms_per_mp"], 3)
    for scales in numbers.values():
        for of_scale in scales.values():
            p50 = of_scale.get("p50_ms", {})
            ratios = {name: round(p50["fp32"] / ms, 3) for name, ms in p50.items() if name != "fp32" and "fp32" in p50}
            of_scale.update({"fp32_p50_over": ratios} if ratios else {})
    return numbers


def of_nets(table: pd.DataFrame) -> dict[str, float]:
    """Return the few figures of each net by which MLflow compares two states of the pipeline.

    Of the deployed files, TFLite where there is one: ``<net>/psnr_y_<variant>``, the mean over the evaluation sets in
    dB; ``<net>/loss_db``, fp32 minus QAT; ``<net>/p50_ms`` and ``<net>/file_bytes`` of the smallest variant, int8 QAT
    if it was measured. A net with several scales has each of these per scale, ``<net>/x<scale>/…``.
    """
    figures: dict[str, float] = {}
    files = deployed(table)
    scales = files.groupby("system")["scale"].nunique().to_dict()
    for (net, scale), rows in files.groupby(["system", "scale"], sort=False):
        name = f"{net}/x{scale:.0f}" if scales[net] > 1 else str(net)
        psnr_y = rows.groupby("variant")["psnr_y"].mean().to_dict()
        figures |= {f"{name}/psnr_y_{variant}": round(psnr, 4) for variant, psnr in psnr_y.items()}
        if {"fp32", "qat"} <= {*psnr_y}:
            figures[f"{name}/loss_db"] = round(psnr_y["fp32"] - psnr_y["qat"], 4)
        shipped = max(rows.to_dict("records"), key=lambda row: list(VARIANTS).index(row["variant"]))
        numbers = {"p50_ms": shipped["p50_ms"], "file_bytes": shipped["file_bytes"]}
        figures |= {f"{name}/{key}": number for key, number in numbers.items() if number > 0}
    return figures


def devices(nets: list[str]) -> list[str]:
    """Return the CPUs that the nets were measured on."""
    machines = read_machines(paths.results("benchmark"), nets)
    return list(dict.fromkeys(machine.facts.get(LABELS["cpu"], "") for machine in machines))


def flatten(value: Any, prefix: str = "") -> dict[str, float]:
    """Return nested metrics as one dict with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, float] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else key)
    return flat
