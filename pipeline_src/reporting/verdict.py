"""What the tables say, in plain words: which systems beat bicubic, by how much, and which speed-ups are real."""

from dataclasses import dataclass

import pandas as pd

from pipeline_src.reporting.tables import RUNTIMES, VARIANTS, deployed, disagreeing

NAMED = 4  # nets that a sentence names, before it counts the others


@dataclass(frozen=True)
class Verdict:
    """One sentence, and whether it is good news."""

    good: bool
    text: str


def quality(table: pd.DataFrame) -> list[Verdict]:
    """For every system, which variants beat bicubic in PSNR Y and by how much, and which do not, and where.

    Measured on the TFLite file (the first other runtime's where there is none), in hundredths of a dB: less is no gain.
    """
    verdicts = []
    for system, rows in deployed(table).groupby("system", sort=False):
        level = rows["psnr_y"].iloc[0] - rows["gain_db"].iloc[0]
        bicubic = f"bicubic ({level:.2f} dB)" if len(rows[["scale", "set"]].drop_duplicates()) == 1 else "bicubic"
        rows = rows.assign(gain_db=rows["gain_db"].round(2), variant=rows["variant"].map(_name))
        better = [
            f"{_range('by ', won['gain_db'], ' dB')} as {variant}{_share(len(won), len(its))}"
            for variant, its in rows.groupby("variant", sort=False)
            if len(won := its[its["gain_db"] > 0])
        ]
        worse = [
            _behind(str(variant), lost, len(its))
            for variant, its in rows.groupby("variant", sort=False)
            if len(lost := its[its["gain_db"] <= 0])
        ]
        where = f"{system} {_places(rows)}"
        if better:
            verdicts.append(Verdict(True, f"{where} beats {bicubic} {_listed(better)}."))
        if worse:
            verdicts.append(Verdict(False, f"{where} does not beat {bicubic}: it is {_listed(worse)}."))
    return verdicts


def _name(variant: str) -> str:
    return VARIANTS.get(variant, variant)


def _places(rows: pd.DataFrame) -> str:
    sets = list(dict.fromkeys(rows["set"]))
    scales = _listed([f"×{scale:.0f}" for scale in sorted(set(rows["scale"]))])
    return f"{scales} on {sets[0] if len(sets) == 1 else 'both sets' if len(sets) == 2 else f'all {len(sets)} sets'}"


def _range(before: str, values: "pd.Series[float]", unit: str) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return f"{before}{low}{unit}" if low == high else f"{before}{low} to {high}{unit}"


def _share(part: int, whole: int) -> str:
    return "" if part == whole else f" in {part} of {whole} cases"


def _behind(variant: str, lost: pd.DataFrame, cases: int) -> str:
    worst = lost.sort_values("gain_db", kind="stable").iloc[0]
    level = worst["gain_db"] == 0
    if cases == 1:
        return f"level with it as {variant}" if level else f"{-worst['gain_db']:.2f} dB behind as {variant}"
    how = (
        "level with it" if level else f"up to {-worst['gain_db']:.2f} dB behind (×{worst['scale']:.0f}, {worst['set']})"
    )
    return f"{how} as {variant}{_share(len(lost), cases)}"


def speed(table: pd.DataFrame) -> list[Verdict]:
    """For every runtime and smaller variant, its files' p50 against fp32 of the same system and scale in that runtime.

    A difference is claimed only where the interquartile ranges of the two certainly do not overlap. Known are each
    median and the width of each range. The median lies inside its range, so a gap between the medians larger than both
    widths keeps the ranges apart wherever in them the medians lie.
    """
    verdicts = []
    for (runtime, variant), rows in _against_fp32(table).groupby(["runtime", "variant"], sort=False):
        what = f"In {RUNTIMES.get(str(runtime), runtime)}, {_name(str(variant))} is"
        faster, slower = rows[rows["apart"] & (rows["times"] > 1)], rows[rows["apart"] & (rows["times"] < 1)]
        level = rows[~rows["apart"]]
        if len(faster):
            count = f" for {len(faster)} of {len(rows)} nets" if len(rows) > 1 else ""
            verdicts.append(Verdict(True, f"{what} faster than fp32{count}: {_extremes(faster, '')}."))
        if len(faster) < len(rows):
            count = f" for {len(rows) - len(faster)} of {len(rows)} nets" if len(rows) > 1 else ""
            reasons = (
                [f"it takes {_extremes(slower.assign(times=1 / slower['times']), ' as long')}"] if len(slower) else []
            )
            reasons += [f"within the spread of the timings ({_nets(level)})"] if len(level) else []
            verdicts.append(Verdict(False, f"{what} not faster than fp32{count}: {_listed(reasons)}."))
    return verdicts


def fastest(table: pd.DataFrame) -> list[Verdict]:
    """Which precision in which runtime is the fastest file of a net on the machine that measured, and of how many nets.

    Of files that give the image they should: another one is no file of that net. What int8 loses is not weighed here.
    """
    rows = _timings(table[table["disagrees"] == ""])
    if rows.empty:
        return []
    best = rows.loc[rows.groupby(["system", "scale"], sort=False)["p50_ms"].idxmin()]
    precision = best["variant"].eq("fp32").map({True: "float", False: "int8"})
    groups = sorted(best.groupby([precision, "runtime"], sort=False), key=lambda group: -len(group[1]))
    parts = [
        f"{kind} in {RUNTIMES.get(str(runtime), runtime)} for {len(nets)} of {len(best)} nets ({_nets(nets)})"
        for (kind, runtime), nets in groups
    ]
    return [Verdict(True, f"Fastest here is {_listed(parts)}.")]


def agreement(table: pd.DataFrame) -> list[Verdict]:
    """Whether every file gives the image here that it gave in torch when it was exported, and which do not."""
    wrong = disagreeing(table)
    if wrong:
        return [Verdict(False, f"{sentence}.") for sentence in wrong]
    files = table[table["off_levels"].notna()].drop_duplicates(["system", "variant", "runtime", "scale"])
    if files.empty:
        return []
    most = files["off_levels"].max()
    return [Verdict(True, f"All {len(files)} files do, within {most:.0f} of 255 levels.")]


def _extremes(rows: pd.DataFrame, what: str) -> str:
    """The smallest and the largest of ``times``, with the nets that have them."""
    ordered = rows.sort_values("times", kind="stable")
    least, most = ordered.iloc[0], ordered.iloc[-1]
    low, high = f"{least['times']:.2f}", f"{most['times']:.2f}"
    if len(rows) == 1:
        milliseconds = f"{least['p50_ms']:.1f} instead of {least['p50_ms_fp32']:.1f} ms"
        return f"{low} times{what} ({_net(least)}, {milliseconds})"
    return f"{low} times{what}" if low == high else f"{low} ({_net(least)}) to {high} times{what} ({_net(most)})"


def _nets(rows: pd.DataFrame) -> str:
    names = [_net(row) for _, row in rows.iterrows()]
    return _listed(names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"])


def _net(row: pd.Series) -> str:
    scale = f"{row['scale']:.0f}"
    return str(row["system"]) if row["system"].endswith(f"_x{scale}") else f"{row['system']} ×{scale}"


def _against_fp32(table: pd.DataFrame) -> pd.DataFrame:
    """The timings of the smaller variants, with ``times`` (how often fp32's p50 contains theirs) and ``apart``."""
    rows = _timings(table)
    net = ["system", "scale", "runtime"]
    fp32 = rows.loc[rows["variant"] == "fp32", [*net, "p50_ms", "iqr_ms"]]
    both = rows[rows["variant"] != "fp32"].merge(fp32, on=net, suffixes=("", "_fp32"))
    both["times"] = both["p50_ms_fp32"] / both["p50_ms"]
    both["apart"] = (both["p50_ms"] - both["p50_ms_fp32"]).abs() > both["iqr_ms"] + both["iqr_ms_fp32"]
    order = {name: place for place, name in enumerate([*RUNTIMES, *VARIANTS])}
    return both.sort_values(["runtime", "variant"], key=lambda names: names.map(order), kind="stable")


def _timings(table: pd.DataFrame) -> pd.DataFrame:
    """One row per exported file: it has one timing, whatever the set."""
    files = table[table["p50_ms"].notna() & ~table["runtime"].isin(["", "torch"])]
    return files.drop_duplicates(["system", "variant", "runtime", "scale"])


def timed(table: pd.DataFrame) -> str:
    """On what the timings were taken, as a sentence; where it was not the same for all, which systems on what."""
    on = []
    setups = _timings(table).groupby(["lr_size", "threads"], sort=False)
    for (size, threads), rows in setups:
        systems = f" ({_listed(list(dict.fromkeys(rows['system'])))})" if len(setups) > 1 else ""
        on.append(f"{size} LR pixels with {threads:.0f} thread{'s' * (threads != 1)}{systems}")
    return f"Medians (p50) on {_listed(on)}." if on else "Nothing was timed."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
