"""Section "Where these numbers come from": machines, versions, commit and parameters."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_src import paths, tracking
from pipeline_src.files import read_json
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Section, Template

Fact = str | int | float | dict[str, str] | None
LABELS = {"cpu": "CPU", "cpu_features": "CPU features", "memory_gib": "Memory (GiB)"}


@dataclass(frozen=True)
class Machine:
    """A machine that one or more systems were measured on.

    Attributes:
        facts: text of each fact by its label.
        measured: time of the measurement by system.
    """

    facts: dict[str, str]
    measured: dict[str, str]


def build(data: ReportData) -> Section:
    """Return the section."""
    machines = read_machines(paths.results("benchmark"), data.whole.nets)
    values = {
        "machines": machines,
        "mixed": mixed(machines),
        "commit": tracking.git_commit(),
        "params": data.params_text,
        "params_sha256": hashlib.sha256(data.params_text.encode()).hexdigest(),
        "experiment": tracking.EXPERIMENT,
    }
    lead = "The machine, the versions, the commit and the settings."
    blocks: list[Block] = [Template("sections/provenance.html", values)]
    return Section(
        "provenance", "Where these figures come from", "Provenance", blocks, lead=lead, folded=True, footer=True
    )


def read_machines(folder: Path, systems: list[str]) -> list[Machine]:
    """Read the ``machine.json`` of every system; systems that were measured on the same machine share an entry.

    Raises:
        UserError: if a file is missing or damaged.
    """
    machines: list[Machine] = []
    for system in systems:
        facts = read_json(folder / system / "machine.json", dict[str, Fact], paths.remedy("benchmark", system))
        measured = str(facts.pop("measured", "time not recorded"))
        texts = {LABELS.get(key, key.capitalize()): _text(value) for key, value in facts.items()}
        known = next((machine for machine in machines if machine.facts == texts), None)
        if known:
            known.measured[system] = measured
        else:
            machines.append(Machine(texts, {system: measured}))
    return machines


def _text(fact: Fact) -> str:
    return ", ".join(f"{name} {value}" for name, value in fact.items()) if isinstance(fact, dict) else str(fact)


def mixed(machines: Sequence[Machine]) -> str:
    """Return a sentence on which nets were measured where, if not all on one machine; else ""."""
    if len(machines) < 2:
        return ""
    cpu = LABELS["cpu"]
    places = [f"{', '.join(machine.measured)} on {machine.facts.get(cpu, 'an unknown CPU')}" for machine in machines]
    return (
        "These networks were measured on different machines or software versions, so do not compare latencies between "
        f"them: {'; '.join(places)}."
    )
