"""Section "In plain words": a sentence for each question that a reader asks first, and the findings behind it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from pipeline_src.config import HERE
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Finding, Question, Questions, Section
from pipeline_src.reporting.tables import COLUMNS, RUNTIMES, VARIANTS, deployed, disagreeing, line
from pipeline_src.reporting.timing import settled

NAMED = 4  # nets that a sentence names before it counts the others
MUCH = 0.1  # dB that int8 may lose before the page marks it as bad news
Answer = Callable[[pd.DataFrame], list[Finding]]


@dataclass(frozen=True)
class _Asked:
    """A question with the functions that answer it: in a sentence, and in full."""

    question: str
    in_short: Answer
    in_full: Answer
    note: str
    per_device: bool = True


def build(data: ReportData) -> Section:
    """Return the section, on all systems; a question that nothing was measured for is left out."""
    data = data.whole
    asked = [
        _Asked(
            "Is it better than no network?",
            quality_in_short,
            quality,
            "The likeness to the original (PSNR on Y) beside that of bicubic, of the TFLite file, or of the next "
            "runtime where there is none. A difference below 0.005 dB counts as level, not as better.",
            per_device=False,
        ),
        _Asked(
            "What do 8 bits cost?",
            loss_in_short,
            loss,
            "PSNR Y of the int8 file below that of the fp32 file of the same network, in decibels (dB).",
            per_device=False,
        ),
        _Asked(
            "Are 8 bits faster?",
            speed_in_short,
            speed,
            f"{timed(data.on(HERE))} A difference counts only if the 95 % confidence intervals of the two medians do "
            f"not overlap.{left_out(data.on(HERE))}",
        ),
        _Asked(
            "Which kind of file is fastest?",
            fastest_in_short,
            fastest,
            "Quality is left aside here. The answer depends on the CPU: on one without VNNI, int8 in TFLite is slower "
            "than float (docs/deployment.md). Files whose confidence intervals overlap share the first place.",
        ),
        _Asked(
            "Does every file compute the network that was exported?",
            agreement_in_short,
            agreement,
            "Each file’s image is compared with the one that its network gave in torch at export. Runtimes round "
            "differently, so a few levels of difference are expected. A file that differs by more computes something "
            "else, and its figures say nothing about the network.",
        ),
    ]
    questions = [question for one in asked if (question := _ask(one, data)).answers]
    return Section("verdict", "In plain words", "Answers", [Questions(questions)])


def _ask(asked: _Asked, data: ReportData) -> Question:
    """Answer a question, for each device by itself if the answer depends on it and there are several."""
    devices = data.devices if asked.per_device else data.devices[:1]
    answers, findings = [], []
    for device in devices:
        prefix = f"{device}: " if len(devices) > 1 else ""
        answers += [Finding(found.good, f"{prefix}{found.text}") for found in asked.in_short(data.on(device))]
        findings += [Finding(found.good, f"{prefix}{found.text}") for found in asked.in_full(data.on(device))]
    return Question(asked.question, answers, findings, asked.note)


def quality_in_short(table: pd.DataFrame) -> list[Finding]:
    """Count the nets that beat bicubic as every variant, at every scale and on every set, rounded to hundredths."""
    files = deployed(table)
    if files.empty:
        return []
    gains = files["gain_db"].round(2)
    lowest = gains.groupby(files["system"]).min()
    better = int((lowest > 0).sum())
    of_all = "Yes: all" if better == len(lowest) else f"{better} of"
    spread = _range("by ", gains[gains > 0], " dB") if better else ""
    return [
        Finding(
            better == len(lowest),
            f"{of_all} {len(lowest)} network{'s' * (len(lowest) != 1)} beat{'s' * (len(lowest) == 1)} bicubic in every "
            f"file, at every scale and on every set{f', {spread}' if better == len(lowest) else ''}.",
        )
    ]


def loss_in_short(table: pd.DataFrame) -> list[Finding]:
    """Say what the deployed int8 file loses against fp32, QAT where there is one."""
    lost = _losses(table)["loss_db"]
    if lost.empty:
        return []
    middle, most = lost.median(), lost.max()
    return [Finding(bool(most < MUCH), f"{middle:.2f} dB at the median, and {most:.2f} dB at most.".replace("-", "−"))]


def loss(table: pd.DataFrame) -> list[Finding]:
    """Say of every net what its deployed int8 file loses against fp32."""
    findings = []
    for net, rows in _losses(table).groupby("system", sort=False):
        variants = _listed(list(dict.fromkeys(rows["variant"].map(_name))))
        lost = _range("", rows["loss_db"], " dB")
        findings.append(Finding(bool(rows["loss_db"].max() < MUCH), f"{net} loses {lost} as {variants}."))
    return findings


def _losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return the deployed int8 files with a loss against fp32, one per net, scale and set: QAT, or else PTQ."""
    files = deployed(table)
    files = files[files["variant"].isin(["ptq", "qat"]) & files["loss_db"].notna()]
    return files.drop_duplicates(["system", "scale", "set"], keep="last")


def speed_in_short(table: pd.DataFrame) -> list[Finding]:
    """Count per runtime the nets whose int8 file is certainly faster than fp32: QAT, or else PTQ."""
    rows = _against_fp32(table).drop_duplicates(["system", "scale", "runtime"], keep="last")
    if rows.empty:
        return []
    good = rows["apart"] & (rows["times"] > 1)
    verdict = "Yes" if good.all() else "In part" if good.any() else "No"
    counts = []
    for runtime, of_runtime in rows.groupby("runtime", sort=False):
        times = f" ({of_runtime['times'].median():.1f} times at the median)"
        count = f"{good[of_runtime.index].sum()} of {len(of_runtime)} networks"
        counts.append(f"in {RUNTIMES.get(str(runtime), runtime)} for {count}{times}")
    return [Finding(bool(good.mean() > 0.5), f"{verdict}: faster {_listed(counts)}.")]


def fastest_in_short(table: pd.DataFrame) -> list[Finding]:
    """Say what the fastest file is most often."""
    best = _fastest_files(table)
    if best.empty:
        return []
    kinds = best["kinds"].value_counts()
    kind, count = kinds.index[0], int(kinds.iloc[0])
    return [Finding(True, f"{kind[0].upper()}{kind[1:]}, for {count} of {len(best)} network{'s' * (len(best) != 1)}.")]


def agreement_in_short(table: pd.DataFrame) -> list[Finding]:
    """Say how many files give another image than at export, or that none does."""
    others = len(disagreeing(table))
    files = len(table[table["off_levels"].notna()].drop_duplicates(["system", "variant", "runtime", "scale"]))
    if not others:
        return agreement(table)
    return [Finding(False, f"No: {others} of {files} files give another image than at export.")]


def quality(table: pd.DataFrame) -> list[Finding]:
    """Say of every system which variants beat bicubic in PSNR Y, by how much and where, and which do not.

    Compares the :func:`deployed` files, rounded to hundredths of a dB: a smaller difference is no gain.
    """
    findings = []
    for system, rows in deployed(table).groupby("system", sort=False):
        level = rows["psnr_y"].iloc[0] - rows["gain_db"].iloc[0]
        bicubic = f"bicubic ({level:.2f} dB)" if len(rows[["scale", "set"]].drop_duplicates()) == 1 else "bicubic"
        rows = rows.assign(gain_db=rows["gain_db"].round(2), variant=rows["variant"].map(_name))
        variants = list(rows.groupby("variant", sort=False))
        better = [
            f"{_range('by ', won['gain_db'], ' dB')} as {variant}{_share(len(won), len(cases))}"
            for variant, cases in variants
            if len(won := cases[cases["gain_db"] > 0])
        ]
        worse = [
            _behind(str(variant), lost, len(cases))
            for variant, cases in variants
            if len(lost := cases[cases["gain_db"] <= 0])
        ]
        where = f"{system} {_scales_and_sets(rows)}"
        if better:
            findings.append(Finding(True, f"{where} beats {bicubic} {_listed(better)}."))
        if worse:
            findings.append(Finding(False, f"{where} does not beat {bicubic}: it is {_listed(worse)}."))
    return findings


def _name(variant: str) -> str:
    return VARIANTS.get(variant, variant)


def _scales_and_sets(rows: pd.DataFrame) -> str:
    sets = list(dict.fromkeys(rows["set"]))
    scales = _listed([f"×{scale:.0f}" for scale in sorted(set(rows["scale"]))])
    return f"{scales} on {sets[0] if len(sets) == 1 else 'both sets' if len(sets) == 2 else f'all {len(sets)} sets'}"


def _range(before: str, values: "pd.Series[float]", unit: str) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return f"{before}{low}{unit}" if low == high else f"{before}{low} to {high}{unit}"


def _share(count: int, cases: int) -> str:
    return "" if count == cases else f" in {count} of {cases} cases"


def _behind(variant: str, lost: pd.DataFrame, cases: int) -> str:
    worst = lost.sort_values("gain_db", kind="stable").iloc[0]
    level = worst["gain_db"] == 0
    if cases == 1:
        return f"level with it as {variant}" if level else f"{-worst['gain_db']:.2f} dB behind as {variant}"
    how = (
        "level with it" if level else f"up to {-worst['gain_db']:.2f} dB behind (×{worst['scale']:.0f}, {worst['set']})"
    )
    return f"{how} as {variant}{_share(len(lost), cases)}"


def speed(table: pd.DataFrame) -> list[Finding]:
    """Compare, per runtime and int8 variant, the p50 of each file with fp32 of the same system, scale and runtime.

    A difference is claimed only if the 95 % confidence intervals of the two medians do not overlap. Latencies that have
    not settled are compared with none, nor are files that give another image than at export.
    """
    findings = []
    compared = _against_fp32(table[table["disagrees"] == ""])
    for (runtime, variant), rows in compared.groupby(["runtime", "variant"], sort=False):
        subject = f"In {RUNTIMES.get(str(runtime), runtime)}, {_name(str(variant))} is"
        faster, slower = rows[rows["apart"] & (rows["times"] > 1)], rows[rows["apart"] & (rows["times"] < 1)]
        level = rows[~rows["apart"]]
        if len(faster):
            count = f" for {len(faster)} of {len(rows)} nets" if len(rows) > 1 else ""
            findings.append(Finding(True, f"{subject} faster than fp32{count}: {_extremes(faster, '')}."))
        if len(faster) < len(rows):
            count = f" for {len(rows) - len(faster)} of {len(rows)} nets" if len(rows) > 1 else ""
            reasons = (
                [f"it takes {_extremes(slower.assign(times=1 / slower['times']), ' as long')}"] if len(slower) else []
            )
            reasons += [f"the confidence intervals overlap ({_nets(level)})"] if len(level) else []
            findings.append(Finding(False, f"{subject} not faster than fp32{count}: {_listed(reasons)}."))
    return findings


def fastest(table: pd.DataFrame) -> list[Finding]:
    """Count the nets whose fastest file on the measuring machine has each precision and runtime.

    Files whose confidence intervals overlap that of the lowest p50 share the place. Leaves out files that give another
    image than at export, and latencies that have not settled. Ignores quality: int8 may lose some.
    """
    best = _fastest_files(table)
    if best.empty:
        return []
    groups = sorted(best.groupby("kinds", sort=False), key=lambda group: -len(group[1]))
    parts = [f"{kinds} for {len(nets)} of {len(best)} nets ({_nets(nets)})" for kinds, nets in groups]
    return [Finding(True, f"The fastest file is {_listed(parts)}.")]


def _fastest_files(table: pd.DataFrame) -> pd.DataFrame:
    """Return the fastest settled file of each net and scale, with ``kinds``; see :func:`_fastest_of_net`."""
    rows = _timings(table[table["disagrees"] == ""])
    precision = rows["variant"].eq("fp32").map({True: "float in ", False: "int8 in "})
    rows = rows.assign(kind=precision + rows["runtime"].map(lambda runtime: RUNTIMES.get(runtime, runtime)))
    return pd.DataFrame([_fastest_of_net(files) for _, files in rows.groupby(["system", "scale"], sort=False)])


def _fastest_of_net(files: pd.DataFrame) -> pd.Series:
    """Return the row of the lowest p50, with ``kinds``: what it is, and other kinds that are not certainly slower."""
    ordered = files.sort_values("p50_ms", kind="stable")
    best = ordered.iloc[0].copy()
    level = ordered[ordered["p50_low_ms"] <= best["p50_high_ms"]]
    first, *others = dict.fromkeys(level["kind"])
    best["kinds"] = " or ".join([first, *sorted(others)])
    return best


def agreement(table: pd.DataFrame) -> list[Finding]:
    """Say whether every file gives the same image on the measuring machine as its net in torch at export."""
    if sentences := disagreeing(table):
        return [Finding(False, f"{sentence}.") for sentence in sentences]
    files = table[table["off_levels"].notna()].drop_duplicates(["system", "variant", "runtime", "scale"])
    if files.empty:
        return []
    most = files["off_levels"].max()
    return [Finding(True, f"All {len(files)} files give the same image as at export, within {most:.0f} of 255 levels.")]


def _extremes(rows: pd.DataFrame, suffix: str) -> str:
    """Return the smallest and the largest of ``times``, with the nets that have them."""
    ordered = rows.sort_values("times", kind="stable")
    least, most = ordered.iloc[0], ordered.iloc[-1]
    low, high = f"{least['times']:.2f}", f"{most['times']:.2f}"
    if len(rows) == 1:
        milliseconds = f"{least['p50_ms']:.1f} instead of {least['p50_ms_fp32']:.1f} ms"
        return f"{low} times{suffix} ({_net(least)}, {milliseconds})"
    return f"{low} times{suffix}" if low == high else f"{low} ({_net(least)}) to {high} times{suffix} ({_net(most)})"


def _nets(rows: pd.DataFrame) -> str:
    names = [_net(row) for _, row in rows.iterrows()]
    return _listed(names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"])


def _net(row: pd.Series) -> str:
    scale = f"{row['scale']:.0f}"
    return str(row["system"]) if row["system"].endswith(f"_x{scale}") else f"{row['system']} ×{scale}"


def _against_fp32(table: pd.DataFrame) -> pd.DataFrame:
    """Return the timings of the int8 variants, with ``times`` (p50 of fp32 over theirs) and ``apart`` (see speed)."""
    rows = _timings(table)
    key = ["system", "scale", "runtime"]
    fp32 = rows.loc[rows["variant"] == "fp32", [*key, "p50_ms", "p50_low_ms", "p50_high_ms"]]
    both = rows[rows["variant"] != "fp32"].merge(fp32, on=key, suffixes=("", "_fp32"))
    both["times"] = both["p50_ms_fp32"] / both["p50_ms"]
    both["apart"] = (both["p50_high_ms"] < both["p50_low_ms_fp32"]) | (both["p50_low_ms"] > both["p50_high_ms_fp32"])
    order = {name: index for index, name in enumerate([*RUNTIMES, *VARIANTS])}
    return both.sort_values(["runtime", "variant"], key=lambda names: names.map(order), kind="stable")


def _timings(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per exported file whose latency has settled, because its timing does not depend on the set."""
    return settled(_files(table))


def _files(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per exported file that was timed."""
    files = table[table["p50_ms"].notna() & ~table["runtime"].isin(["", "torch"])]
    return files.drop_duplicates(["system", "variant", "runtime", "scale"])


def left_out(table: pd.DataFrame) -> str:
    """Return a sentence, with a space before it, on the files whose latency has not settled; empty if all have."""
    files = _files(table)
    unsettled = files.drop(settled(files).index)
    if unsettled.empty:
        return ""
    names = [f"{_net(row)} {' '.join(line(row, COLUMNS[1:3]))}" for _, row in unsettled.iterrows()]
    shown = names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"]
    return (
        f" {len(unsettled)} of {len(files)} files take part in no comparison, because their latency has not settled "
        f"({_listed(shown)}): it rests on fewer than 30 calls, or its interval was still too wide at the limit of time."
    )


def timed(table: pd.DataFrame) -> str:
    """Return a sentence on the image sizes and threads of the timings, with the systems of each where they differ."""
    conditions = []
    setups = _timings(table).groupby(["lr_size", "threads"], sort=False)
    for (size, threads), rows in setups:
        systems = f" ({_listed(list(dict.fromkeys(rows['system'])))})" if len(setups) > 1 else ""
        conditions.append(f"{size} LR pixels with {threads:.0f} thread{'s' * (threads != 1)}{systems}")
    return f"Medians (p50) on {_listed(conditions)}." if conditions else "Nothing was timed."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
