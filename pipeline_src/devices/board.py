"""The exported files, measured on a board by SSH."""

from pipeline_src import config
from pipeline_src.benchmarking.costs import limits
from pipeline_src.devices import exports
from pipeline_src.devices.exports import Exported
from pipeline_src.devices.job import Job, Machine
from pipeline_src.devices.kept import Kept
from pipeline_src.devices.measuring import on_board
from pipeline_src.devices.ssh import Board
from pipeline_src.tables import Row


def measure(
    name: str, device: config.Device, groups: list[list[Exported]], spec: config.Benchmark, threads: int, kept: Kept
) -> tuple[Machine, list[Row]]:
    """Measure files by the rules of the stage benchmark.

    Args:
        name: of the device.
        device: its entry in params.yaml.
        groups: the files that take turns with each other.
        spec: how they are timed.
        threads: number of threads of the runtimes.
        kept: what an earlier run has measured.

    Returns:
        What the device is, and a row of :data:`~pipeline_src.devices.rows.COLUMNS` per file.
    """
    requests = [[exports.request(file, str(number)) for file in group] for number, group in enumerate(groups)]
    job = Job(threads, limits(spec), [[request.item for request in group] for group in requests])
    wanted = [request for group in requests for request in group]
    machine, found = on_board(Board(name, device), job, wanted, kept)
    return machine, [exports.row(file, found[file.name], threads) for group in groups for file in group]
