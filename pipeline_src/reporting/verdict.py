"""What the tables say, in plain words: which systems beat bicubic, by how much, and which speed-ups are real."""

from dataclasses import dataclass

import pandas as pd

from pipeline_src.reporting.tables import RUNTIMES, VARIANTS, deployed


@dataclass(frozen=True)
class Verdict:
    """One sentence, and whether it is good news."""

    good: bool
    text: str


def quality(table: pd.DataFrame) -> list[Verdict]:
    """For every system, scale and set, which variants beat bicubic in PSNR Y and by how much, and which do not.

    Measured on the TFLite file (the first other runtime's where there is none), in hundredths of a dB: less is no gain.
    """
    verdicts = []
    for (system, scale, image_set), rows in deployed(table).groupby(["system", "scale", "set"], sort=False):
        first = rows.iloc[0]
        place = f"{system} ×{scale:.0f} on {image_set}"
        bicubic = f"bicubic ({first['psnr_y'] - first['gain_db']:.2f} dB)"
        gains = [(VARIANTS.get(row["variant"], row["variant"]), round(row["gain_db"], 2)) for _, row in rows.iterrows()]
        if better := [f"by {gain:.2f} dB as {variant}" for variant, gain in gains if gain > 0]:
            verdicts.append(Verdict(True, f"{place} beats {bicubic} {_listed(better)}."))
        if worse := [f"{_behind(gain)} as {variant}" for variant, gain in gains if gain <= 0]:
            verdicts.append(Verdict(False, f"{place} does not beat {bicubic}: it is {_listed(worse)}."))
    return verdicts


def _behind(gain: float) -> str:
    return f"{-gain:.2f} dB behind" if gain < 0 else "level with it"


def speed(table: pd.DataFrame) -> list[Verdict]:
    """For every exported file of a smaller variant, its p50 against the same system's fp32 in the same runtime.

    A difference is claimed only where the interquartile ranges certainly do not overlap.
    """
    verdicts = []
    for (system, scale, runtime), rows in _timings(table).groupby(["system", "scale", "runtime"], sort=False):
        if (fp32 := rows[rows["variant"] == "fp32"]).empty:
            continue
        whole = fp32.iloc[0]
        what = f"{system} ×{scale:.0f} in {RUNTIMES.get(str(runtime), runtime)}"
        than = f"fp32 ({whole['p50_ms']:.1f} ms)"
        small = [row for _, row in rows[rows["variant"] != "fp32"].iterrows()]
        faster = [row for row in small if _faster(row, whole)]
        others = [row for row in small if not _faster(row, whole)]
        if faster:
            times = [f"{_timed(row)} {whole['p50_ms'] / row['p50_ms']:.2f} times" for row in faster]
            verdicts.append(Verdict(True, f"{what} is faster than {than}: {_listed(times)}."))
        if others:
            verdicts.append(Verdict(False, f"{what} is not faster than {than}: {_listed(_reasons(others, whole))}."))
    return verdicts


def _timings(table: pd.DataFrame) -> pd.DataFrame:
    """One row per exported file: it has one timing, whatever the set."""
    files = table[table["p50_ms"].notna() & ~table["runtime"].isin(["", "torch"])]
    return files.drop_duplicates(["system", "variant", "runtime", "scale"])


def _faster(small: pd.Series, fp32: pd.Series) -> bool:
    return apart(small, fp32) and bool(small["p50_ms"] < fp32["p50_ms"])


def _reasons(others: list[pd.Series], fp32: pd.Series) -> list[str]:
    return [
        f"{_timed(row)} takes {row['p50_ms'] / fp32['p50_ms']:.2f} times as long"
        if apart(row, fp32)
        else f"{_timed(row)} is within the spread of the timings"
        for row in others
    ]


def _timed(row: pd.Series) -> str:
    return f"{VARIANTS.get(row['variant'], row['variant'])} ({row['p50_ms']:.1f} ms)"


def timed(table: pd.DataFrame) -> str:
    """On what the timings were taken, as a sentence."""
    setups = _timings(table).drop_duplicates(["lr_height", "lr_width", "threads"])
    on = [
        f"{row['lr_height']:.0f}×{row['lr_width']:.0f} LR pixels with {row['threads']:.0f} "
        f"thread{'s' * (row['threads'] != 1)}"
        for _, row in setups.iterrows()
    ]
    return f"Medians (p50) on {_listed(on)}." if on else "Nothing was timed."


def apart(one: pd.Series, other: pd.Series) -> bool:
    """Whether the interquartile ranges of two timings certainly do not overlap.

    Known are each median and the width of each range. The median lies inside its range, so a gap between the medians
    larger than both widths keeps the ranges apart wherever in them the medians lie.
    """
    return bool(abs(one["p50_ms"] - other["p50_ms"]) > one["iqr_ms"] + other["iqr_ms"])


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
