"""Headline metrics of the report, as ``metrics.json`` and MLflow keep them."""

from typing import Any

import pandas as pd

from pipeline_src.reporting.tables import deployed


def metrics(table: pd.DataFrame) -> dict[str, Any]:
    """Return the headline numbers of the deployed files (TFLite where there is one), ``system → x<scale> → …``.

    Per set: PSNR Y in dB and its gain over bicubic in dB, for every variant. Per variant, if its latency has settled:
    p50 latency in ms, in total and per output megapixel. ``fp32_p50_over`` is the p50 of fp32 divided by that of each
    smaller variant.
    """
    numbers: dict[str, Any] = {}
    for _, row in deployed(table).iterrows():
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


def flatten(value: Any, prefix: str = "") -> dict[str, float]:
    """Return nested metrics as one dict with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, float] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else key)
    return flat
