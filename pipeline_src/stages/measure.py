"""Measure the exported files of all systems on one device of params.yaml: a board by SSH, or a phone by adb.

A connection that is lost is made again, and a stage that was stopped goes on at the next file. The image that each file
gives there is compared with the one that its net gave in torch at export.
"""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import whole_folder, write_json

if TYPE_CHECKING:
    from pipeline_src.devices.job import Machine
    from pipeline_src.tables import Row

log = logging.getLogger(__name__)


def measure(device: str) -> None:
    """Write ``measure.csv`` and ``machine.json`` of the device; an empty table for this machine, and say so.

    Raises:
        UserError: if the stage export has not run, or the device cannot be reached or used.
    """
    params = config.load()
    spec = params.device(device)
    from pipeline_src.deployment import cards
    from pipeline_src.devices import board, phone, rows
    from pipeline_src.devices.exports import groups
    from pipeline_src.devices.kept import Kept

    if spec.is_here:
        log.warning("%s is this machine, which the stage benchmark measures, so measure@%s has no rows", device, device)
        with whole_folder(paths.measured(device)) as out:
            rows.write(out, [])
        return
    threads = spec.threads or params.benchmark.threads
    exported = [
        group for system in params.systems for group in groups(cards.read_folder(paths.results("export", system)))
    ]
    kept = Kept(device, "measure")
    measure_there = board.measure if spec.ssh else phone.measure
    machine, found = measure_there(device, spec, exported, params.benchmark, threads, kept)
    _write(device, machine, found, threads)
    kept.clear()
    with tracking.stage_run("measure", device, spec.model_dump() | params.benchmark.model_dump()) as run:
        run.log_artifact(paths.measured(device) / paths.DEVICE_TABLE)


def _write(device: str, machine: "Machine", found: "list[Row]", threads: int) -> None:
    from dataclasses import asdict

    from pipeline_src.devices import rows

    for row in found:
        for problem in filter(None, (row["disagrees"], row["fails"])):
            name = " ".join(str(row[column]) for column in ("system", "variant", "runtime", "scale"))
            log.warning("%s on %s: %s", name, device, problem)
    with whole_folder(paths.measured(device)) as out:
        rows.write(out, found)
        measured = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(out / paths.MACHINE, asdict(machine) | {"threads": threads, "measured": measured})


if __name__ == "__main__":
    command.stage(measure, "device")
