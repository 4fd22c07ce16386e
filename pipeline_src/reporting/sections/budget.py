"""Section "Which file to ship": what was measured, a budget that the reader sets, and quality against latency."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd

from pipeline_src import budgets, paths
from pipeline_src.budgets import Candidate
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Section, Template
from pipeline_src.reporting.sections.provenance import LABELS, Machine, read_machines
from pipeline_src.reporting.tables import RUNTIMES, VARIANTS

EXPORTED = "../export"  # from the folder of the page
SIZES = ((90, 160), (180, 320), (270, 480), (360, 640), (540, 960), (720, 1280))  # height and width of LR images


def build(data: ReportData) -> Section | None:
    """Return the section, or None if no file was timed."""
    files = list(measured_files(data))
    if not files:
        return None
    timed = pd.Series([tuple(file["timed"]) for file in files])
    present = {key: {file[key] for file in files} for key in ("variant", "format")}
    machines = read_machines(paths.results("benchmark"), data.nets)
    values = {
        "scale": files[0]["scale"],
        "scales": sorted({file["scale"] for file in files}),
        "devices": _device_names(data.devices, machines),
        "sizes": sorted({*SIZES, *timed}),
        "size": timed.mode()[0],
        "variants": {key: name for key, name in VARIANTS.items() if key in present["variant"]},
        "runtimes": {key: name for key, name in RUNTIMES.items() if key in present["format"]},
        "sets": data.sets,
        "learned": data.learned_downscaling,
        "data": {"files": files, "variants": VARIANTS, "runtimes": RUNTIMES},
    }
    blocks = [Template("sections/budget.html", values)]
    return Section("budget", "Which file to ship", "Choose", blocks, lead=summary(files, data, machines))


def measured_files(data: ReportData) -> Iterator[dict[str, Any]]:
    """Yield every timed file on every device, as the page's scripts read it.

    Nets of a learned downscaler are not among them: they rebuild LR images of their own, which is another task.

    ``psnr`` and ``gain`` (in dB, over bicubic) are by image set, and ``""`` stands for the mean over all of them. The
    page computes no mean, so that it ranks files by the very numbers of ``superres pick``.
    """
    learned = data.learned_downscaling
    for device in data.devices:
        of_net = {str(net): _records(rows) for net, rows in data.on(device).groupby("system", sort=False)}
        for net in data.nets:
            if net.partition("/")[0] not in learned and net in of_net:
                yield from _files_of(net, device, [*of_net["bicubic"], *of_net[net]], data)


def _files_of(net: str, device: str, rows: list[dict[str, Any]], data: ReportData) -> Iterator[dict[str, Any]]:
    choices = {"": data.sets} | {name: [name] for name in data.sets}
    for scale in sorted({row["scale"] for row in rows if row["system"] == net}):
        found: dict[tuple[str, str], dict[str, Candidate]] = {}
        for choice, sets in choices.items():
            for file in budgets.candidates(net, rows, scale, (1, 1), sets):
                found.setdefault((file.variant, file.runtime), {})[choice] = file
        timings = {(row["variant"], row["runtime"]): row for row in rows if row["scale"] == scale}
        for key, of_choices in found.items():
            yield _as_read_by_the_page(of_choices, timings[key], device)


def _as_read_by_the_page(choices: dict[str, Candidate], row: dict[str, Any], device: str) -> dict[str, Any]:
    file = next(iter(choices.values()))
    return {
        "net": file.net,
        "variant": file.variant,
        "runtime": file.runtime,
        "format": file.format,
        "scale": file.scale,
        "device": device,
        "timed": file.timed,
        "ms": row["p50_ms"],
        "note": row["p50_note"],
        "kib": file.kib,
        "memory": file.memory_mb,
        "path": f"{EXPORTED}/{file.net}/{file.file}",
        "leftOut": file.left_out,
        "psnr": {choice: of_choice.psnr_y for choice, of_choice in choices.items()},
        "gain": {choice: round(of_choice.gain, 4) for choice, of_choice in choices.items()},
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dicts; a missing value is None, as :func:`pipeline_src.tables.read_rows` gives it."""
    return [
        {str(name): cell for name, cell in row.items()}
        for row in rows.astype(object).where(rows.notna(), None).to_dict("records")
    ]


def summary(files: list[dict[str, Any]], data: ReportData, machines: list[Machine]) -> str:
    """Return one sentence on what was measured, where and when."""
    nets = {file["net"] for file in files}
    scales = " ".join(f"×{scale}" for scale in sorted({file["scale"] for file in files}))
    cpus = dict.fromkeys(_cpu(machine) for machine in machines)
    where = " and ".join([*cpus, *data.devices[1:]])
    days = sorted({time[:10] for machine in machines for time in machine.measured.values()})
    when = " to ".join(dict.fromkeys(map(_day, [days[0], days[-1]])))
    return (
        f"{len(files)} files of {len(nets)} network{'s' * (len(nets) != 1)} that enlarge photographs {scales}. Quality "
        f"was measured on {_list(data.sets)}, speed on {where}, {when}."
    )


def _day(iso: str) -> str:
    """Return a day such as 2026-11-28 in words, or the text itself where no time was recorded."""
    try:
        day = date.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{day.day} {day:%B %Y}"


def _cpu(machine: Machine) -> str:
    """Return the CPU of a machine, and whether it has instructions for int8."""
    vnni = "vnni" in machine.facts.get(LABELS["cpu_features"], "")
    threads = machine.facts.get("Threads")
    of_threads = f", {threads} thread{'s' * (threads != '1')}" if threads else ""
    return f"{machine.facts.get(LABELS['cpu'], 'an unknown CPU')} ({'VNNI' if vnni else 'no VNNI'}{of_threads})"


def _device_names(devices: list[str], machines: list[Machine]) -> dict[str, str]:
    here = ", ".join(dict.fromkeys(machine.facts.get(LABELS["cpu"], "this machine") for machine in machines))
    return {device: f"here: {here}" if device == "here" else device for device in devices}


def _list(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} image sets"
