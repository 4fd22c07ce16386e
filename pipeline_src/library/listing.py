"""Nets as text: a table of all, or all that is known of one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline_src.library import bundled, machines
from pipeline_src.library.entries import BICUBIC, DEGRADED, HELD_OUT, Entry, Measurement

SOURCES = {"bundled": "bundled with superres", "run": "made by the run in this folder (results/)"}
HEAD = ("model", "scale", "variant", "PSNR Y", "over bicubic", "on", "weights", "p50", "LR timed")
LEFT = (0, 2, 5)  # columns that are aligned to the left
NONE = "–"
MOST_NAMES = 20  # nets that a line names


def table(entries: Sequence[Entry]) -> str:
    """Return a table of nets, those of each source under a line that says it, and how their weights are licensed."""
    parts = []
    for source, title in SOURCES.items():
        chosen = [entry for entry in entries if entry.source == source]
        if chosen:
            rows = [row for entry in chosen for row in _rows(entry)]
            default = [*(_default(chosen) if source == "bundled" else _machines(chosen)), *_rebuilding(chosen)]
            parts.append("\n".join([f"{title}:", *_aligned([HEAD, *rows]), "", *default, *_licences(chosen)]))
    return "\n\n".join(parts)


def description(entry: Entry) -> str:
    """Return all that is known of a net, as lines."""
    files = sorted(path.name for path in entry.exported.glob("*.*") if _is_model(path.name)) if entry.exported else []
    facts = {
        "model": entry.name,
        "source": SOURCES[entry.source],
        "net": f"pipeline_src.models.{entry.model}" + (", a supernet" if entry.supernet else ""),
        "scales": " ".join(f"×{scale}" for scale in entry.scales),
        "weights": f"{entry.weights} ({_kib(entry)})",
        "variants": " ".join(("fp32", *entry.quantized)),
        "files": " ".join(files) or NONE,
        "downscaler": f"{entry.lr} ({entry.downscaler})" if entry.downscaler else entry.lr,
        "measured on": _machine(entry.measured_on, [entry.name] if entry.measured_elsewhere else []) or NONE,
        "provenance": entry.provenance,
        "licence": entry.licence,
    }
    lines = [f"{key:<11} {value}" for key, value in facts.items()]
    head = ("set", "scale", "variant", "runtime", "PSNR Y", "over bicubic", "p50", "LR timed")
    rows = [
        (m.set_name, f"×{m.scale}", m.variant, m.runtime, f"{m.psnr_y:.2f}", f"{m.over_bicubic:+.2f}", *_latency(m))
        for m in entry.measurements
    ]
    return "\n".join([*lines, "", *_aligned([head, *rows], left=(0, 2, 3))])


def as_record(entry: Entry) -> dict[str, Any]:
    """Return a net as JSON-able values."""
    record = asdict(entry)
    paths = {key: str(record[key]) if record[key] else None for key in ("weights", "exported", "downscaler")}
    return (
        record
        | paths
        | {
            "bytes": entry.weights.stat().st_size,
            "quantized": {variant: str(path) for variant, path in entry.quantized.items()},
        }
    )


def _rows(entry: Entry) -> list[tuple[str, ...]]:
    """Return a row for each scale and variant: on the held-out photographs, or else on the first set measured."""
    rows = []
    for scale in entry.scales:
        of_scale = [m for m in entry.measurements if m.scale == scale]
        sets = dict.fromkeys(m.set_name for m in of_scale)
        shown = HELD_OUT if HELD_OUT in sets else next(iter(sets), "")
        for variant in dict.fromkeys(m.variant for m in of_scale) or {"fp32": None}:
            measured = [m for m in of_scale if (m.set_name, m.variant) == (shown, variant)]
            rows.append((entry.name, f"×{scale}", variant, *_figures(entry, measured)))
    return rows


def _figures(entry: Entry, measured: list[Measurement]) -> tuple[str, ...]:
    if not measured:
        return (NONE, NONE, NONE, _kib(entry), NONE, NONE)
    fastest = min(measured, key=lambda m: float("inf") if m.p50_ms is None else m.p50_ms)
    quality = (f"{fastest.psnr_y:.2f}", f"{fastest.over_bicubic:+.2f}", fastest.set_name)
    return (*quality, _kib(entry), *_latency(fastest))


def _latency(measurement: Measurement) -> tuple[str, str]:
    if measurement.p50_ms is None or measurement.lr_size is None:
        return NONE, NONE
    height, width = measurement.lr_size
    return f"{measurement.p50_ms:.1f} ms ({measurement.runtime})", f"{width}×{height}"


def _default(entries: Sequence[Entry]) -> list[str]:
    """Return the lines that say which nets are used where none is named."""
    lines = []
    for lr, option in ((BICUBIC, "without --model"), (DEGRADED, "with --for photo")):
        names = [f"{bundled.best(scale, entries, lr).name} (×{scale})" for scale in bundled.scales(entries, lr)]
        lines += [f"{option}: {', '.join(names)}"] if names else []
    return lines


def _machines(entries: Sequence[Entry]) -> list[str]:
    """Return the lines that say which machine the latencies are of."""
    found: dict[tuple[str, bool], list[str]] = {}
    for entry in entries:
        if entry.measured_on:
            found.setdefault((entry.measured_on, entry.measured_elsewhere), []).append(entry.name)
    return [
        f"p50 of {', '.join(names)}: on {_machine(machine, names if elsewhere else [])}"
        for (machine, elsewhere), names in found.items()
    ]


def _machine(machine: str, not_here: Sequence[str]) -> str:
    """Return a machine, and for nets that were not measured on one like this how to do so."""
    return f"{machine}, {machines.not_this_one(not_here)}" if not_here else machine


def _rebuilding(entries: Sequence[Entry]) -> list[str]:
    """Return the line that says which nets are for the images of their own downscalers."""
    names = [entry.name for entry in entries if entry.downscaler]
    return [f"for images of `superres downscale --model NAME` alone: {_listed(names)}"] if names else []


def _licences(entries: Sequence[Entry]) -> list[str]:
    licences: dict[str, list[str]] = {}
    for entry in entries:
        licences.setdefault(entry.licence, []).append(entry.name)
    return [f"licence of {_listed(names)}: {licence}" for licence, names in licences.items()]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + f" and {more} more" * (more > 0)


def _aligned(rows: Sequence[tuple[str, ...]], left: Sequence[int] = LEFT) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            _cell(text, width, i in left) for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cell(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)


def _is_model(name: str) -> bool:
    return name.endswith((".onnx", ".xml", ".tflite"))


def _kib(entry: Entry) -> str:
    return f"{entry.weights.stat().st_size / 1024:,.0f} KiB"
