"""A comparison as text for a terminal, as Markdown, and as rows of a CSV file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from pipeline_src.command import printable
from pipeline_src.config import HERE
from pipeline_src.reporting.comparison.changes import BETTER, INCOMPARABLE, WORSE, Change, File
from pipeline_src.reporting.comparison.compared import Comparison
from pipeline_src.reporting.comparison.measurements import State

Cells = tuple[str, ...]

HEAD: Cells = ("", "Net", "File", "Figure", "Base", "New", "Difference", "95 % interval")
MINUTES = len("2026-01-02T03:04")  # of a time in ISO format
NAMES_SHOWN = 3  # files that are named where more have the same reason
MARKUP = re.compile(
    r"([\\`*_{}\[\]<>#~|&@!$]|:(?=\S)|(?<=www)\.)"
)  # of GitHub's Markdown within a line, links included


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Attributes:
        title: what it is called.
        number: format of the figure.
        difference: format of the difference.
        per: what the figure is divided by.
    """

    title: str
    number: str = ""
    difference: str = "{:+.1f} %"
    per: float = 1


FIGURES = {
    "psnr_y": Figure("PSNR Y (dB)", "{:.3f}", "{:+.3f}"),
    "ssim_y": Figure("SSIM Y", "{:.4f}", "{:+.4f}"),
    "p50_ms": Figure("p50 (ms)", "{:.2f}"),
    "peak_memory_mb": Figure("peak memory (MB)", "{:.0f}"),
    "file_bytes": Figure("file (KiB)", "{:.1f}", per=1024),
    "disagrees": Figure("image as at export"),
    "fails": Figure("runs"),
}
KINDS = {"p50_ms": "latency", "peak_memory_mb": "peak memory", "file_bytes": "size"}  # else quality, of a set


def text(comparison: Comparison) -> str:
    """Return the comparison for a terminal: a summary, and a line per figure that is worse or better."""
    blocks = [[*_states(comparison), _counts(comparison)]]
    if rows := _rows(comparison):
        table = [HEAD, *rows]
        widths = [max(len(row[place]) for row in table) for place in range(len(HEAD))]
        blocks.append(["  ".join(map(str.ljust, row, widths)).rstrip() for row in table])
    blocks.append(_remarks(comparison))
    return "\n\n".join("\n".join(map(printable, lines)) for lines in blocks if lines)


def markdown(comparison: Comparison) -> str:
    """Return the same in GitHub-flavoured Markdown; what stands in a file or a name is text there, whatever it is."""
    blocks = [["### What became better or worse"], [f"**{_escaped(_counts(comparison))}**"]]
    if rows := _rows(comparison):
        lines = ["|" + "|".join(f" {_escaped(cell)} " for cell in row) + "|" for row in (HEAD, *rows)]
        blocks.append([lines[0], "|" + "---|" * len(HEAD), *lines[1:]])
    blocks.append([f"* {_escaped(line)}" for line in (*_states(comparison), *_remarks(comparison))])
    return "\n\n".join("\n".join(lines) for lines in blocks)


def table(comparison: Comparison) -> pd.DataFrame:
    """Return every figure that was compared, a row each, unrounded."""
    rows = [asdict(change) for change in comparison.changes]
    return pd.DataFrame([row.pop("file") | row for row in rows])


def _escaped(words: str) -> str:
    return MARKUP.sub(r"\\\1", printable(words))


def _states(comparison: Comparison) -> list[str]:
    return [f"base: {_state(comparison.base)}", f"new: {_state(comparison.new)}"]


def _state(state: State) -> str:
    cpus = ", ".join(cpu for cpu in state.files["cpu"].unique() if cpu)
    when = f"measured {state.measured[:MINUTES].replace('T', ' ')} UTC" if state.measured else ""
    return ", ".join(part for part in (state.name, when, f"on {cpus}" if cpus else "") if part)


def _counts(comparison: Comparison) -> str:
    worse, better = ({change.file for change in comparison.of(verdict)} for verdict in (WORSE, BETTER))
    files = {change.file for change in comparison.changes}
    neither = len(files - worse - better)
    return (
        f"{_number(len(files), 'file')} compared: {len(worse)} worse, {len(better)} better in some figure, "
        f"{neither} without a change beyond noise"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _rows(comparison: Comparison) -> list[Cells]:
    """Return the cells of each figure that is worse or better; runtimes with the same cells share a row."""
    runtimes: dict[tuple[Cells, Cells], list[str]] = {}
    for found in (WORSE, BETTER):
        for change in comparison.of(found):
            file = change.file
            of_net = (found, _net(file), file.variant)
            runtimes.setdefault((of_net, _figures(change)), []).append(file.runtime)
    return [
        (found, net, f"{variant} {', '.join(names)}", *cells)
        for ((found, net, variant), cells), names in runtimes.items()
    ]


def _net(file: File) -> str:
    return f"{file.system} ×{file.scale}" + (f" on {file.device}" if file.device != HERE else "")


def _figures(change: Change) -> Cells:
    figure = FIGURES[change.figure]
    title = " ".join(filter(None, (figure.title, change.set)))
    if not figure.number:
        states = ("yes", "no") if change.verdict == WORSE else ("no", "yes")
        return title, *states, "", change.reason
    base, new = (figure.number.format(number / figure.per) for number in (change.base, change.new))
    return title, base, new, figure.difference.format(change.difference), _interval(change, figure)


def _interval(change: Change, figure: Figure) -> str:
    if change.images:
        low, high = (figure.difference.format(end) for end in (change.low, change.high))
        return f"{low} to {high}, {_number(change.images, 'image')}"
    ends = (change.base_low, change.base_high, change.new_low, change.new_high)
    if change.figure != "p50_ms":
        return ""
    base_low, base_high, new_low, new_high = (figure.number.format(end) for end in ends)
    return f"{base_low} to {base_high}, then {new_low} to {new_high}"


def _remarks(comparison: Comparison) -> list[str]:
    """Return what could not be compared, and the files that only one of the states has."""
    reasons: dict[tuple[str, str], list[File]] = {}
    for change in comparison.of(INCOMPARABLE):
        kind = KINDS.get(change.figure) or " on ".join(filter(None, ("quality", change.set)))
        files = reasons.setdefault((kind, change.reason), [])
        files += [change.file] * (change.file not in files)
    remarks = [f"not comparable: {kind} of {_named(files)} ({reason})" for (kind, reason), files in reasons.items()]
    for title, files in (("only in new", comparison.added), ("only in base", comparison.gone)):
        remarks += [f"{title}: {_named(files)}"] if files else []
    return remarks


def _named(files: Sequence[File]) -> str:
    """Return the names of files, or how many they are of which nets."""
    if len(files) <= NAMES_SHOWN:
        return ", ".join(f"{_net(file)} {file.variant} {file.runtime}" for file in files)
    nets = list(dict.fromkeys(_net(file) for file in files))
    return f"{len(files)} files of {_listed(nets)}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - NAMES_SHOWN
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:NAMES_SHOWN])} and {more} more nets"
